"""Configuration: the defaults file, the order of sources and the errors that name a setting."""

import re
import tomllib
from pathlib import Path

import pytest

from clarion.app.config.loading import defaults_text, load
from clarion.domain.errors import OperatorError


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_defaults_file_alone_is_a_configuration():
    config = load(None, {})
    assert (config.api.host, config.api.port) == ("127.0.0.1", 8400)
    assert config.data_dir == Path("clarion-data")
    assert config.run_dir == Path("clarion-data/run")
    assert config.worker_count >= 1


def test_every_setting_is_explained_in_the_defaults_file():
    explained = re.compile(r"(?:^#.*\n)(?:^[a-z_]+ = .*\n)+", re.MULTILINE)
    settings = re.findall(r"^[a-z_]+ = .*\n", defaults_text(), re.MULTILINE)
    assert "".join(settings) == "".join(
        line
        for block in explained.findall(defaults_text())
        for line in block.splitlines(keepends=True)
        if line[0] != "#"
    )


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    path = write(tmp_path / "mine.toml", '[api]\nport = 1\nhost = "::1"\n[deliver.concurrency]\nemail = 3\n')
    config = load(path, {"CLARION_API_PORT": "2", "CLARION_DELIVER_CONCURRENCY_SMS": "5", "PATH": "/bin"})
    assert (config.api.port, config.api.host) == (2, "::1")
    assert (config.deliver.concurrency.email, config.deliver.concurrency.sms) == (3, 5)
    assert config.deliver.concurrency.push == tomllib.loads(defaults_text())["deliver"]["concurrency"]["push"]


def test_clarion_toml_in_the_working_directory_is_read_without_being_named(tmp_path):
    write(tmp_path / "clarion.toml", 'data_dir = "~/x"\n')
    assert load(None, {}).data_dir == Path("~/x").expanduser()


def test_variables_take_the_type_of_their_setting():
    config = load(None, {"CLARION_EGRESS_ALLOW_PRIVATE": "10.0.0.0/8, ::1/128", "CLARION_EGRESS_ALLOW_HTTP": "true"})
    assert config.egress.allow_private == ["10.0.0.0/8", "::1/128"]
    assert config.egress.allow_http is True
    config = load(None, {"CLARION_DELIVER_RETRY_PAUSES_MS_EMAIL": "60000,600000", "CLARION_EGRESS_ALLOW_PRIVATE": ""})
    assert (config.deliver.retry_pauses_ms.email, config.egress.allow_private) == ([60_000, 600_000], [])


def test_variables_of_the_command_line_are_no_settings():
    assert load(None, {"CLARION_URL": "http://x", "CLARION_KEY": "k"}).api.port == 8400


@pytest.mark.parametrize(
    ("toml", "env", "words"),
    [
        ("[api]\nprot = 1\n", {}, r"mine\.toml: there is no setting api\.prot\. Did you mean port\?"),
        ("[nope]\nx = 1\n", {}, r"there is no setting nope"),
        ("api = 3\n", {}, r"api is a section"),
        ('[api]\nport = "x"\n', {}, r"Setting api\.port: expected `int`"),
        ("[api]\nport = 70000\n", {}, r"Setting api\.port: .*65535"),
        ("[api\n", {}, r"mine\.toml is not valid TOML"),
        ("", {"CLARION_API_PROT": "1"}, r"CLARION_API_PROT\. Did you mean CLARION_API_PORT\?"),
        ("", {"CLARION_API_PORT": "x"}, r"Setting api\.port: expected `int`"),
        ("", {"CLARION_LOG_LEVEL": "loud"}, r"Setting log\.level"),
        ("[journal]\npartitions = -1\n", {}, r"Setting journal\.partitions: expected `int` >= 0"),
        ("[journal]\npartitions = 3\n", {}, r"journal\.partitions: expected one of 0, 1, 2, 4, 8, 16, 32, 64, not 3\."),
        ("", {"CLARION_JOURNAL_PARTITIONS": "128"}, r"journal\.partitions: expected one of .*, 64, not 128\."),
        ("[deliver.concurrency]\nfax = 1\n", {}, r"deliver\.concurrency\.fax"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_setting(tmp_path, toml, env, words):
    with pytest.raises(OperatorError, match=words):
        load(write(tmp_path / "mine.toml", toml), env)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OperatorError, match=r"Cannot read .*nope\.toml"):
        load(tmp_path / "nope.toml", {})


def test_secrets_are_not_in_the_repr():
    config = load(None, {"CLARION_OPERATOR_KEY": "hush-hush", "CLARION_MASTER_KEY": "psst"})
    assert "hush" not in repr(config)
    assert "psst" not in repr(config)


def test_a_secret_setting_is_read_from_its_place(tmp_path):
    (tmp_path / "operator").write_text("an operator's long key\n")
    path = write(tmp_path / "mine.toml", f'operator_key = {{ from = "file:{tmp_path}/operator" }}\n')
    env = {"CLARION_MASTER_KEY_FROM": "systemd:master", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    (tmp_path / "master").write_text("bWFzdGVy")
    config = load(path, env)
    assert (config.operator_key, config.master_key) == ("an operator's long key", "bWFzdGVy")
    assert "operator's" not in repr(config)
    assert load(path, {"CLARION_OPERATOR_KEY_FROM": "env:OTHER", "OTHER": "env:X"}).operator_key == "env:X"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('{ from = "env:NONE" }', "the secret env:NONE is not set in the environment of this process (secret_missing)"),
        ('{ from = "vault:kv/a#b" }', "a setting cannot be read from the store of vault:kv/a#b"),
        ('{ from = "NONE" }', "must be "),
        ('{ from = "env:BINARY" }', "the secret env:BINARY contains NUL (secret_not_text)"),
        ('{ from = "env:LOOP" }', "the secret env:LOOP is itself a reference, which is not followed"),
        ('{ file = "x" }', "must be text or { from = "),
        ("7", "expected `str`"),
    ],
)
def test_a_secret_setting_that_cannot_be_read_stops_the_start(tmp_path, given, words):
    path = write(tmp_path / "mine.toml", f"master_key = {given}\n")
    with pytest.raises(OperatorError, match=r"^Setting master_key: ") as found:
        load(path, {"BINARY": "s3cret\0", "LOOP": '{"from": "env:s3cret"}'})
    assert words in str(found.value)
    assert "s3cret" not in str(found.value)
