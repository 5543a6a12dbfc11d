"""The command line against a running installation."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from clarion.app.cli.remote import Remote, RequestRefused
from clarion_lab.load.programs import System, running, wait_for
from clarion_lab.machine import lock

pytestmark = pytest.mark.slow
TIMEOUT_S = 60


class Shell:
    """Runs `clarion` as a user does, in a folder of its own."""

    def __init__(self, folder: Path, **env: str) -> None:
        self._folder = folder
        self.url = env.get("CLARION_URL", "")
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")} | env

    def __call__(self, *words: str, code: int = 0, stdin: str | None = None, output: bool = False) -> str:
        """Run a command that must end with `code`; return its `output`, or (the default after a failure) its error."""
        command = [sys.executable, "-m", "clarion", *words]
        done = subprocess.run(
            command, cwd=self._folder, env=self._env, capture_output=True, text=True, timeout=TIMEOUT_S, input=stdin
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if output or not code else done.stderr


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running(System(tmp_path_factory.mktemp("up"), {"CLARION_WORKERS_COUNT": "1"})) as started:
        yield started


@pytest.fixture(scope="module")
def operator(system, tmp_path_factory):
    key = (system.folder / "data" / "operator.key").read_text().strip()
    return Shell(tmp_path_factory.mktemp("op"), CLARION_URL=f"http://127.0.0.1:{system.port}", CLARION_KEY=key)


@pytest.fixture(scope="module")
def key(operator):
    return operator("keys", "create", "acme").strip()


@pytest.fixture(scope="module")
def acme(system, key, tmp_path_factory):
    return Shell(tmp_path_factory.mktemp("acme"), CLARION_URL=f"http://127.0.0.1:{system.port}", CLARION_KEY=key)


@pytest.fixture
def shell(tmp_path):
    """Return a shell whose rigs have a lock of their own, so that they wait for nobody."""
    return Shell(tmp_path, **{lock.VARIABLE: str(tmp_path / "lock")})


def test_a_workflow_comes_from_a_file(operator, tmp_path):
    shell = Shell(tmp_path, CLARION_URL=operator.url, CLARION_KEY=operator("keys", "create", "flows").strip())
    json_file, toml_file = tmp_path / "pause.json", tmp_path / "pause.toml"
    json_file.write_text('{"steps": [{"kind": "delay", "name": "pause", "for": "1h"}]}')
    toml_file.write_text('name = "A day off"\n[[steps]]\nkind = "delay"\nname = "pause"\nfor = "1d"\n')
    assert shell("workflows", "push", "pause", str(json_file)).strip() == "pause: version 1"
    assert shell("workflows", "push", "pause", str(toml_file)).strip() == "pause: version 2"
    assert shell("workflows", "push", "pause", "-", stdin=json_file.read_text()).strip() == "pause: version 3"
    shell("workflows", "push", "pause", str(toml_file))
    assert "A day off" in shell("workflows", "list")
    json_file.write_text('{"steps": [{"kind": "delay", "name": "pause", "for": "2y"}]}')
    assert "steps[0].for" in shell("workflows", "push", "pause", str(json_file), code=2)
    assert "No such file" in shell("workflows", "push", "pause", "gone.json", code=2)


def test_from_an_empty_tenant_to_a_status(system, key, acme, tmp_path):
    assert "sms through sandbox" in acme("providers", "push", "texts", "--channel", "sms", "--vendor", "sandbox")
    assert "texts" in acme("providers", "list")
    remote = Remote(f"http://127.0.0.1:{system.port}", key)
    remote.put("/v1/templates/hello", {"channels": {"sms": {"body": "Hello {{ name }}"}}})
    file = tmp_path / "users.ndjson"
    file.write_text('{"id": "ada", "phone": "+14155550100"}\n{"id": "bob", "phone": "nonsense"}\n{"id": "cy"}\n')
    assert acme("users", "import", str(file), code=1).count("line 2: phone") == 1
    sent = acme("send", "--to", "ada", "--template", "hello", "--data", "name=Ada").strip()
    again = [acme("send", "--to", "ada", "--template", "hello", "--data", "name=Ada", "--idempotency-key", "k1")] * 2
    assert sent.startswith("ntf_")
    assert again[0] == again[1] != sent
    assert sent in acme("status", sent)


def test_a_refusal_is_one_sentence_that_names_the_field(acme):
    error = acme("send", "--to", "nobody", "--template", "nope", code=2)
    assert error.startswith("clarion: POST /v1/notifications: 422")
    assert error.count("\n") == 1


def test_a_key_does_what_its_scopes_say_until_it_is_revoked(operator, system, tmp_path):
    url = f"http://127.0.0.1:{system.port}"
    secret = operator("keys", "create", "acme", "--name", "short-lived", "--scope", "users:read").strip()
    assert "403" in Shell(tmp_path, CLARION_URL=url, CLARION_KEY=secret)("providers", "list", code=2)
    rows = Remote(url, (system.folder / "data" / "operator.key").read_text().strip()).pages("/v1/tenants/acme/keys")
    operator("keys", "revoke", "acme", next(row["id"] for row in rows if row["name"] == "short-lived"))
    reader = Remote(url, secret)

    def refused() -> bool:
        try:
            reader.get("/v1/users")
        except RequestRefused as problem:
            return problem.status == 401
        return False

    wait_for("the revoked key is refused", refused, 5)


def test_a_second_installation_on_the_same_data_is_refused(system, shell):
    error = shell("up", "--data-dir", str(system.folder / "data"), code=2)
    assert "already runs on" in error
    assert error.count("\n") == 1


def test_metrics_of_all_processes_are_added_up(system):
    text = system.client().call("GET", "/metrics").decode()
    assert "# TYPE clarion_accepted_total counter" in text
    assert 'clarion_backlog_events{group="plan"}' in text


def test_nobody_listening_is_one_sentence(shell):
    error = shell("status", "ntf_1", "--url", "http://127.0.0.1:1", "--key", "k", code=2)
    assert error == "clarion: No answer from http://127.0.0.1:1: is `clarion up` running there?\n"


def test_a_wrong_setting_is_one_sentence(tmp_path):
    assert "there is no setting api.prot" in Shell(tmp_path)("init", "--config", str(_toml(tmp_path)), code=2)


def _toml(folder: Path) -> Path:
    path = folder / "wrong.toml"
    path.write_text("[api]\nprot = 1\n")
    return path


def test_config_prints_a_file_that_can_be_used(shell, tmp_path):
    (tmp_path / "clarion.toml").write_text(shell("config"))
    assert "clarion up" in shell("init")
    assert (tmp_path / "clarion-data" / "operator.key").exists()


@pytest.mark.waits
def test_the_demo_runs_and_runs_again_on_its_own_data(shell, tmp_path):
    for _ in range(2):
        *lines, last = shell("demo", "--once", "--data-dir", str(tmp_path / "demo")).splitlines()
        result = dict(
            line.split(maxsplit=1) for line in lines if line.split()[:1] in (["Held"], ["Digest"], ["Explain"])
        )
        assert "quiet_hours hold" in result["Explain"]
        assert "is held until" in result["Held"]
        assert result["Digest"].endswith("20 comments on your run, runner 1 first")
        summary = msgspec.json.decode(last)
        assert summary["lost"] == summary["failed"] == 0
        assert summary["accepted"] == 23
        assert set(summary["channels"]) == {
            "email", "sms", "push", "webpush", "whatsapp", "chat", "inapp", "webhook"
        }  # fmt: skip
        assert summary["channels"]["sms"]["retried"] == 2
    assert len(list((tmp_path / "demo" / "mail").glob("*.eml"))) == 2 * summary["channels"]["email"]["sent"]


def test_a_demo_has_the_machine_to_itself_until_it_only_serves(tmp_path):
    place = tmp_path / "lock"
    command = [sys.executable, "-m", "clarion", "demo", "--data-dir", str(tmp_path / "demo")]
    environment = {**os.environ, lock.VARIABLE: str(place)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout.readline()
            assert is_held(place)
            assert any(line.startswith("Serving.") for line in demo.stdout)
            assert not is_held(place)
        finally:
            demo.terminate()


def is_held(place):
    with place.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
