"""The source of the master key. Attacks on sealed values are tested in tests/security/test_secrets.py."""

import base64
import subprocess
import sys

import pytest

from clarion.domain.errors import OperatorError
from clarion.outbound.secrets.master_key import KEY_FILE, FileVault

MASTER = bytes(range(32))
PRINT_A_KEY = "import sys, pathlib; from clarion.outbound.secrets.master_key import FileVault as V; print(V.load(pathlib.Path(sys.argv[1])).derive('x').hex())"


def test_the_key_made_at_the_first_start_is_the_one_of_every_later_start(tmp_path):
    first = FileVault.load(tmp_path / "data")
    sealed = first.seal("acme", "provider:mail", b"secret")
    text = (tmp_path / "data" / KEY_FILE).read_bytes()
    assert FileVault.load(tmp_path / "data").open("acme", "provider:mail", sealed) == b"secret"
    assert (tmp_path / "data" / KEY_FILE).read_bytes() == text
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    command = [sys.executable, "-c", PRINT_A_KEY, str(tmp_path)]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {start.communicate(timeout=60)[0].strip() for start in starts}
    assert [start.returncode for start in starts] == [0] * 4
    assert keys == {FileVault.load(tmp_path).derive("x").hex()}


def test_a_configured_key_wins_and_leaves_no_file(tmp_path):
    vault = FileVault.load(tmp_path, base64.b64encode(MASTER).decode() + "\n")
    assert vault.derive("x") == FileVault(MASTER).derive("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["short", base64.b64encode(MASTER[:31]).decode(), "\u00fc" * 44, "=" * 44])
def test_a_key_that_is_no_key_is_refused_without_being_shown(tmp_path, text):
    with pytest.raises(OperatorError, match="base64 of 32 bytes") as refused:
        FileVault.load(tmp_path, text)
    assert text not in str(refused.value)
    (tmp_path / KEY_FILE).write_text(text)
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(OperatorError, match="base64 of 32 bytes"):
        FileVault.load(tmp_path)


def test_an_unwritable_folder_is_a_configuration_error(tmp_path):
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(OperatorError, match="cannot read the master key"):
        FileVault.load(tmp_path)


def test_its_repr_shows_no_secret():
    vault = FileVault(MASTER)
    assert repr(vault) == "FileVault()"
    assert MASTER.hex() not in repr(vars(vault)) and base64.b64encode(MASTER).decode() not in repr(vars(vault))
