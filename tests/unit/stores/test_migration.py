"""A journal of the previous version is migrated completely, with a backup, wherever the migration is interrupted."""

import logging
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from clarion.deliver.partition.recovered import RecoveredAttempts
from clarion.domain.errors import OperatorError
from clarion.domain.planned import PlannedDelivery
from clarion.journal.intents import decode_intents
from clarion.ports.stage_store import Position
from clarion.stores.sqlite import consistency, migrate
from clarion.stores.sqlite.connection import connect, fetch_all
from tests.contract.journals import sqlite
from tests.look import Look
from tests.unit.stores import old_journal as old

STATEMENTS_MAX = 60


def row(delivery: bytes, attempt: int = 1, chunk: tuple[bytes, int] | None = None) -> PlannedDelivery:
    return PlannedDelivery(delivery, "acme", "u", "+1", "en", "t", "", {}, None, attempt, None, None, None, chunk)


async def check(data_dir, clock) -> None:
    """Assert that a migrated journal holds all that the old one held."""
    journal = sqlite(data_dir, clock)
    entries = await journal.open_intents(old.GROUP, 0)
    assert [entry.number for entry in entries] == list(range(1, 7))
    recovered = RecoveredAttempts()
    for entry in entries:
        recovered.add(decode_intents(entry.payload))
    assert [recovered.was_intended(row(one)) for one in (old.A, old.B, old.C, old.D)] == [True, True, True, False]
    assert [recovered.has_result(row(one)) for one in (old.A, old.B, old.C)] == [True, False, False]
    assert [recovered.owes_next_attempt(row(one)) for one in (old.A, old.B)] == [False, True]
    assert (recovered.was_intended(row(old.B, 2)), recovered.is_recorded(row(old.B, 2))) == (True, False)
    assert (recovered.provider_of(row(old.B)), recovered.provider_of(row(old.C))) == ("one", "")
    places = [row(b"p" * 24, chunk=(old.CHUNK, n)) for n in range(5)]
    assert [recovered.was_intended(place) for place in places] == [True, True, True, True, False]
    assert [recovered.has_result(place) for place in places] == [False, True, False, True, False]

    assert await journal.open_intents(old.GROUP, 1) == [], "all of that partition is committed"
    assert len(await journal.open_intents("deliver.push", 0)) == 1, "the first holder never committed"
    positions = {"deliver.sms.normal": Position(1), "deliver.sms.high": Position(1)}
    assert await Look(journal).committed(old.GROUP, 0) == positions
    assert await Look(journal).committed("record", 0) == {"outcomes": Position(2)}
    lease = await journal.acquire(old.GROUP, 0, "worker-0-x", 1_000)
    assert lease is not None and lease.fence == 8, "fences continue"
    await journal.close()


def backups(data_dir: Path) -> list[str]:
    return sorted(path.name for path in data_dir.iterdir() if "backup" in path.name)


def everything(path: Path) -> list:
    """Return all rows of a file."""
    db = connect(path, readonly=True)
    tables = [name for (name,) in fetch_all(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    found = [(name, fetch_all(db, f'SELECT * FROM "{name}"')) for name in tables if not name.startswith("sqlite_")]  # noqa: S608
    db.close()
    return found


async def test_outcomes_behind_the_marks_become_open_intents(tmp_path, clock, caplog):
    caplog.set_level(logging.INFO)
    path = old.make(tmp_path)
    before = everything(path)
    await check(tmp_path, clock)
    assert backups(tmp_path) == ["journal.db.journal_0002.backup"]
    assert everything(tmp_path / "journal.db.journal_0002.backup") == before
    result = [line for line in caplog.messages if "backup" in line]
    assert len(result) == 1 and "is upgraded from journal_0002 to" in result[0]


async def test_a_new_file_has_no_backup_and_a_migrated_one_no_second(tmp_path, clock, caplog):
    caplog.set_level(logging.INFO)
    await sqlite(tmp_path, clock).close()
    await sqlite(tmp_path, clock).close()
    assert backups(tmp_path) == []
    assert not [line for line in caplog.messages if "backup" in line]


def test_every_store_is_backed_up_before_it_is_migrated(tmp_path, monkeypatch):
    consistency.upgrade_all(tmp_path)
    newest = {name: migrate._newest(name) for name in migrate.NAMES}
    for name in migrate.NAMES:
        db = connect(migrate.path_of(tmp_path, name))
        db.execute("UPDATE alembic_version SET version_num = ?", (f"{name}_old",))
        db.close()
    monkeypatch.setattr(migrate, "_run", lambda *_: None)
    monkeypatch.setattr(migrate, "_revisions", lambda name: {f"{name}_old"})
    consistency.upgrade_all(tmp_path)
    assert backups(tmp_path) == sorted(f"{name}.db.{name}_old.backup" for name in newest)


@pytest.mark.parametrize("name", migrate.NAMES)
def test_a_file_of_a_newer_build_is_left_unchanged(tmp_path, name):
    consistency.upgrade_all(tmp_path)
    db = connect(migrate.path_of(tmp_path, name))
    db.execute("UPDATE alembic_version SET version_num = 'newer_0099'")
    db.close()
    with pytest.raises(OperatorError, match=rf"{name}\.db was written by a newer build .*newer_0099.*{name}_00"):
        consistency.upgrade_all(tmp_path)
    assert backups(tmp_path) == []


@pytest.mark.parametrize("failing", ["_current", "_run"])
def test_a_full_disk_is_reported_in_a_sentence(tmp_path, monkeypatch, failing):
    def full(*_):
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(migrate, failing, full)
    with pytest.raises(OperatorError, match=r"control\.db cannot be opened or migrated: database or disk is full"):
        consistency.upgrade_all(tmp_path)


async def killed_before(data_dir: Path, statement: int) -> bool:
    """Migrate in a child that dies before that statement; return whether it did."""
    script = Path(__file__).with_name("crash_migration.py")
    done = subprocess.run([sys.executable, script, data_dir, str(statement), "journal"], check=False)  # noqa: ASYNC221
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize("apart", [6, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.slow
async def test_a_migration_killed_anywhere_is_completed_by_the_next_start(tmp_path, clock, apart):
    before = everything(old.make(tmp_path / "first"))
    for statement in range(1, STATEMENTS_MAX, apart):
        data_dir = tmp_path / str(statement)
        old.make(data_dir)
        killed = await killed_before(data_dir, statement)
        copy = data_dir / "journal.db.journal_0002.backup"
        assert everything(copy) == before
        if killed:
            assert everything(data_dir / "journal.db") == before, "an interrupted migration changes nothing"
        await check(data_dir, clock)
        assert everything(copy) == before
        if not killed:
            break
    assert statement > 10 and not killed


async def test_a_migration_killed_in_the_middle_is_completed_by_the_next_start(tmp_path, clock):
    before = everything(old.make(tmp_path))
    assert await killed_before(tmp_path, 9)
    assert everything(tmp_path / "journal.db") == before
    await check(tmp_path, clock)
    assert everything(tmp_path / "journal.db.journal_0002.backup") == before


async def test_an_interrupted_backup_is_created_anew(tmp_path, clock):
    before = everything(old.make(tmp_path))
    (tmp_path / "journal.db.journal_0002.backup.part").write_bytes(b"half a backup")
    await check(tmp_path, clock)
    assert backups(tmp_path) == ["journal.db.journal_0002.backup"]
    assert everything(tmp_path / "journal.db.journal_0002.backup") == before
