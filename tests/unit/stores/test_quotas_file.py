"""Details of the file of quota counts: a writer does not wait for its lock, and an unreadable file is created anew."""

import logging

import apsw
import pytest

from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import Versioned
from clarion.stores.sqlite import quotas
from clarion.stores.sqlite.quotas import SqliteQuotas
from tests.contract.swaps import read, take

OURS = BucketName("acme", "", "rate")
NOBODY = Versioned(Usage(), 0)


async def test_a_file_locked_for_long_is_overloaded(tmp_path):
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    await take(other, OURS, Usage(1))
    await read(one, OURS)
    held = apsw.Connection(str(tmp_path / "quota.db"))
    held.execute("BEGIN IMMEDIATE")
    assert await read(one, OURS) == [Usage(1)]
    with pytest.raises(Overloaded, match="quotas cannot be written now"):
        await take(one, OURS, Usage(2))
    held.execute("ROLLBACK")
    held.close()
    await take(one, OURS, Usage(2))
    assert await read(other, OURS) == [Usage(2)]
    one.close()
    other.close()


@pytest.mark.parametrize("broken", [b"this is no database, and never was one" * 100, b""])
async def test_a_broken_file_is_created_anew(tmp_path, broken):
    store = SqliteQuotas(tmp_path)
    await take(store, OURS, Usage(5))
    store.close()
    (tmp_path / "quota.db").write_bytes(broken)
    store = SqliteQuotas(tmp_path)
    assert await store.read([OURS]) == [NOBODY]
    await take(store, OURS, Usage(6))
    store.close()
    store = SqliteQuotas(tmp_path)
    assert await read(store, OURS) == [Usage(6)]
    store.close()


def stored_before(folder, layout):
    """Return a file as the previous release wrote it, with usage in it."""
    old = apsw.Connection(str(folder / "quota.db"))
    old.execute("""
        CREATE TABLE usage (
            tenant TEXT NOT NULL, key_id TEXT NOT NULL, kind TEXT NOT NULL,
            used_m INTEGER NOT NULL, at_ms INTEGER NOT NULL, period INTEGER NOT NULL,
            PRIMARY KEY (tenant, key_id, kind)) WITHOUT ROWID
    """)
    old.execute("INSERT INTO usage VALUES ('acme', '', 'rate', 5, 6, 7)")
    old.pragma("user_version", layout)
    old.close()


async def test_usage_before_an_upgrade_still_counts_after_it(tmp_path, caplog):
    stored_before(tmp_path, 1)
    caplog.set_level(logging.INFO, "clarion.quotas")
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    assert await read(one, OURS) == [Usage(5, 6, 7)]
    await take(one, OURS, Usage(8))
    assert await read(other, OURS) == [Usage(8)]
    assert caplog.messages == ["quota.db is upgraded from layout 1 to 2; its data is preserved"]
    one.close()
    other.close()


async def test_an_upgrade_that_fails_in_the_middle_changes_nothing(tmp_path, monkeypatch):
    stored_before(tmp_path, 1)
    monkeypatch.setitem(quotas._STEPS, 1, "; ".join((quotas._STEPS[1], "SELECT no_such_column FROM usage")))
    with pytest.raises(DurabilityError, match="no_such_column"):
        await SqliteQuotas(tmp_path).read([OURS])
    monkeypatch.undo()
    store = SqliteQuotas(tmp_path)
    assert await read(store, OURS) == [Usage(5, 6, 7)]
    store.close()


async def test_a_file_of_a_newer_release_is_created_anew_and_logged_once(tmp_path, caplog):
    stored_before(tmp_path, 3)
    caplog.set_level(logging.WARNING, "clarion.quotas")
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    assert await one.read([OURS]) == [NOBODY]
    await take(one, OURS, Usage(1))
    assert await read(other, OURS) == [Usage(1)]
    (line,) = caplog.messages
    assert line == "quota.db was written by another release (layout 3, now 2) and is recreated; its data is lost"
    one.close()
    other.close()


def test_without_a_caller_with_a_quota_there_is_no_file(tmp_path):
    SqliteQuotas(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
