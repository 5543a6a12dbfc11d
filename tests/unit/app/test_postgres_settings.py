"""The settings of PostgreSQL: the address stays secret, and the driver is loaded only where it is used."""

import subprocess
import sys

import pytest

from clarion.app.config.loading import load
from clarion.app.wiring import stores
from clarion.domain.errors import OperatorError
from clarion.ops.log_masking import masked_text

DSN = "postgresql://clarion:hunter2@db.internal,db2.internal/clarion?target_session_attrs=read-write"


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_address_comes_from_a_variable_or_a_file(tmp_path):
    assert load(None, {"CLARION_POSTGRES_DSN": DSN}).postgres.dsn == DSN
    (tmp_path / "dsn").write_text(DSN + "\n")
    (tmp_path / "dsn").chmod(0o600)
    assert load(None, {"CLARION_POSTGRES_DSN_FROM": f"file:{tmp_path}/dsn"}).postgres.dsn == DSN
    with pytest.raises(OperatorError, match=r"Setting postgres\.dsn: the secret file:"):
        load(None, {"CLARION_POSTGRES_DSN_FROM": f"file:{tmp_path}/nothing"})


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_file_with_the_address_that_every_user_can_read_is_refused(tmp_path, mode):
    (tmp_path / "dsn").write_text(DSN)
    (tmp_path / "dsn").chmod(mode)
    with pytest.raises(OperatorError, match=r"owner_dsn: .*/dsn can be used by other users: chmod 600"):
        load(None, {"CLARION_POSTGRES_OWNER_DSN_FROM": f"file:{tmp_path}/dsn"})
    (tmp_path / "dsn").chmod(0o640)
    assert load(None, {"CLARION_POSTGRES_OWNER_DSN_FROM": f"file:{tmp_path}/dsn"}).postgres.owner_dsn == DSN


def test_the_address_is_in_no_text():
    config = load(None, {"CLARION_POSTGRES_DSN": DSN})
    assert "hunter2" not in f"{config!r} {config} {config.postgres!r} {config.postgres}"
    assert "hunter2" not in masked_text(f"cannot use {DSN}")


@pytest.mark.parametrize("size", ["1", "65", "x"])
def test_the_pool_has_bounds(size):
    with pytest.raises(OperatorError, match=r"Setting postgres\.pool_size"):
        load(None, {"CLARION_POSTGRES_POOL_SIZE": size})


def test_without_the_driver_a_sentence_says_how_to_get_it(monkeypatch):
    for name in [one for one in sys.modules if one.startswith("clarion.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "clarion.app.wiring.postgres_stores", raising=False)
    monkeypatch.delattr("clarion.app.wiring.postgres_stores", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(
        OperatorError, match="the driver is not installed; in a checkout run: make environment EXTRAS=postgres"
    ):
        stores.postgres()


@pytest.mark.slow
def test_the_other_stores_load_nothing_of_postgresql():
    modules = "clarion.app.processes.api, clarion.app.processes.workers, clarion.app.processes.scheduler, clarion.app.processes.all_in_one, clarion.app.processes.image"
    found = "[m for m in sys.modules if m.startswith(('asyncpg', 'clarion.stores.postgres', 'clarion.app.wiring.postgres'))]"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print({found})"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"
