"""Definitions that version 0.1.0 stored are read and migrated, with a backup, and a migration that is killed half-way is done again
as a whole."""

import signal
import subprocess
import sys
from pathlib import Path
from sqlite3 import connect

import asyncpg
import pytest
from alembic import command

from clarion.stores.postgres.migrate import upgrade
from clarion.stores.sqlite import migrate
from tests import definitions_0_1_0 as old
from tests.contract.controls import ControlPlane
from tests.engines.postgres import APPLICATION, SUPERUSER, as_role, database_of, engine

STATEMENTS_MAX = 80


def sqlite_file(monkeypatch, folder: Path) -> Path:
    """Make a file of version 0.1.0."""
    newest = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _head: newest(config, old.SCHEMAS["sqlite"]))
    path = migrate.upgrade(folder, "control")
    monkeypatch.undo()
    with connect(path) as db:
        for table, (names, rows) in old.ROWS.items():
            places = ", ".join("?" * len(names.split()))
            db.executemany(f"INSERT INTO {table} ({', '.join(names.split())}) VALUES ({places})", rows)  # noqa: S608
    db.close()
    return path


def rows_of(path: Path) -> dict:
    with connect(path) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        found = {table: db.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}  # noqa: S608
    db.close()
    return found


def killed_before(folder: Path, statement: int) -> bool:
    script = Path(__file__).with_name("crash_migration.py")
    done = subprocess.run([sys.executable, script, folder, str(statement), "control"], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


async def test_a_file_is_migrated_with_a_backup_and_its_old_tables_stay(tmp_path, monkeypatch):
    path = sqlite_file(monkeypatch, tmp_path)
    before = rows_of(path)
    migrate.upgrade(tmp_path, "control")
    assert rows_of(tmp_path / "control.db.control_0008.backup") == before
    after = rows_of(path)
    assert all(after[table] == before[table] for table in old.ROWS)
    control_plane = ControlPlane(tmp_path)
    await old.check(control_plane)
    await control_plane.close()


async def killed_and_done_again(folder: Path, monkeypatch, statement: int) -> bool:
    path = sqlite_file(monkeypatch, folder)
    before = rows_of(path)
    killed = killed_before(folder, statement)
    if killed:
        assert rows_of(path) == before, statement
        migrate.upgrade(folder, "control")
    control_plane = ControlPlane(folder)
    await old.check(control_plane)
    await control_plane.close()
    return killed


async def test_a_migration_killed_in_the_middle_is_done_by_the_next_start(tmp_path, monkeypatch):
    assert await killed_and_done_again(tmp_path, monkeypatch, 20)


@pytest.mark.parametrize("apart", [9, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.slow
async def test_a_migration_killed_anywhere_is_done_by_the_next_start(tmp_path, monkeypatch, apart):
    for statement in range(1, STATEMENTS_MAX, apart):
        if not await killed_and_done_again(tmp_path / str(statement), monkeypatch, statement):
            break
    assert 20 < statement < STATEMENTS_MAX - apart


@pytest.fixture
async def database(tmp_path):
    """Return the owner's address of a database of version 0.1.0 that a control store of the test's folder opens."""
    owner = engine().bare()
    await upgrade(owner, old.SCHEMAS["postgres"])
    admin = await asyncpg.connect(as_role(owner, SUPERUSER))
    flags = {"removed", "critical"}
    for table, (names, rows) in old.ROWS.items():
        columns = names.split()
        places = ", ".join(f"${n}" + ("::int::boolean" if name in flags else "") for n, name in enumerate(columns, 1))
        await admin.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608
    await admin.close()
    database_of(tmp_path, lambda _engine: as_role(owner, APPLICATION))
    return owner


@pytest.mark.engines
async def test_a_database_is_migrated_and_its_old_tables_stay(database, tmp_path):
    await upgrade(database)
    admin = await asyncpg.connect(as_role(database, SUPERUSER))
    for table, (_, rows) in old.ROWS.items():
        assert await admin.fetchval(f"SELECT count(*) FROM {table}") == len(rows)  # noqa: S608
    await admin.close()
    control_plane = ControlPlane(tmp_path, backend="postgres")
    await old.check(control_plane)
    await control_plane.close()


@pytest.mark.engines
async def test_a_migration_of_a_database_that_is_cut_off_is_done_again(database, tmp_path):
    admin = await asyncpg.connect(as_role(database, SUPERUSER))
    cut_off = """CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF to_regclass('artifacts') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'cut') THEN
            CREATE TRIGGER cut BEFORE INSERT ON artifacts EXECUTE FUNCTION cut_off(); END IF; END $$;
        CREATE EVENT TRIGGER watched ON ddl_command_end WHEN TAG IN ('GRANT') EXECUTE FUNCTION watch();"""
    await admin.execute(cut_off)
    with pytest.raises(Exception, match="cannot be migrated"):
        await upgrade(database)
    assert await admin.fetchval("SELECT to_regclass('documents')") is None
    await admin.execute("DROP EVENT TRIGGER watched")
    await admin.close()
    await upgrade(database)
    control_plane = ControlPlane(tmp_path, backend="postgres")
    await old.check(control_plane)
    await control_plane.close()
