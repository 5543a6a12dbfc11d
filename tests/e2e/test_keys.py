"""Keys over real processes: the operator's key changes while several API processes run."""

import os
import signal
import subprocess
import sys

import pytest

from clarion_lab.load.programs import System, running
from clarion_lab.machine.ports import free_port
from tests.e2e.outside import Api, new_tenant, until

pytestmark = pytest.mark.processes


def clarion(system, *words):
    command = [sys.executable, "-m", "clarion", *words, "--data-dir", str(system.folder / "data")]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=system.folder).stdout


@pytest.fixture
def system(tmp_path):
    with running(System(tmp_path, {"CLARION_WORKERS_COUNT": "1"})) as started:
        yield started


@pytest.fixture
def second_port(system):
    """Return the port of a second API process over the same folder."""
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    command = [sys.executable, "-m", "clarion", "api", "--data-dir", str(system.folder / "data")]
    with (system.folder / "second.log").open("wb") as log:
        process = subprocess.Popen(command, env=env | {"CLARION_API_PORT": str(port)}, stdout=log, stderr=log)
        try:
            until(lambda: answers(port), "a second API process")
            yield port
        finally:
            process.terminate()
            process.wait(20)


def answers(port):
    try:
        return Api(port).call("GET", "/healthz").status == 200
    except OSError:
        return False


def status(port, key):
    try:
        return Api(port, key).call("GET", "/v1/tenants").status
    except OSError:
        return None


def test_every_process_takes_the_operators_new_key_without_a_restart(system, second_port):
    file, ports = system.folder / "data" / "operator.key", (system.port, second_port)
    old = file.read_text().strip()
    api = int((system.folder / "data" / "run" / "api.pid").read_text().split()[0])
    clarion(system, "operator", "rotate-key", "--overlap", "1h")
    new = file.read_text().strip()
    for port in ports:
        until(lambda port=port: status(port, new) == 200, "the new key is taken")
        assert status(port, old) == 200, "within the overlap"
    os.kill(api, signal.SIGKILL)
    until(lambda: status(system.port, old) == 200, "the overlap outlives a process")
    clarion(system, "operator", "rotate-key", "--overlap", "0s")
    for port in ports:
        until(lambda port=port: status(port, new) == 401, "the key before ends")
        assert (status(port, old), status(port, file.read_text().strip())) == (401, 200)
    file.chmod(0o644)
    until(lambda: b"operators_key_not_reloaded" in (system.folder / "second.log").read_bytes(), "a warning")
    assert status(second_port, file.read_text().strip()) == 200, "the last good key stays"
    logs = [(system.folder / name).read_text(errors="replace") for name in ("clarion.log", "second.log")]
    for log in logs:
        assert "operator_key_changed" in log
        assert not [key for key in (old, new, file.read_text().strip()) if key in log]


def test_uses_are_stored_before_a_process_ends(system):
    operator = Api(system.port, (system.folder / "data" / "operator.key").read_text().strip())
    tenant = new_tenant(operator)
    tenant.get("/v1/users")
    os.kill(int((system.folder / "data" / "run" / "api.pid").read_text().split()[0]), signal.SIGTERM)

    def used_from():
        try:
            return operator.get(f"/v1/tenants/{tenant.name}/keys")["data"][0]["last_used_from"]
        except OSError:
            return None

    until(lambda: used_from() == "127.0.0.0/24", "the use is stored")
