"""Details of the file of account health: a writer does not wait for its lock, and an unreadable file is created anew."""

import logging

import apsw
import msgspec
import pytest

from clarion.domain.account_health import AccountHealth
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.ports.account_health import AccountName
from clarion.ports.versioned import Versioned
from clarion.stores.sqlite.account_health import SqliteAccountHealth
from tests.contract.swaps import read, take
from tests.contract.test_account_health import FULL

MINE = AccountName("acme", "mail")
NOBODY = Versioned(AccountHealth(), 0)


async def test_a_file_locked_for_long_is_overloaded(tmp_path):
    one = SqliteAccountHealth(tmp_path)
    await take(one, MINE, AccountHealth(opens=1))
    held = apsw.Connection(str(tmp_path / "standing.db"))
    held.execute("BEGIN IMMEDIATE")
    assert await read(one, MINE) == [AccountHealth(opens=1)]
    with pytest.raises(Overloaded, match="standings cannot be written now"):
        await take(one, MINE, AccountHealth(opens=2))
    held.execute("ROLLBACK")
    held.close()
    await take(one, MINE, AccountHealth(opens=2))
    assert await read(one, MINE) == [AccountHealth(opens=2)]
    one.close()


async def test_health_of_an_earlier_boot_is_ignored(tmp_path):
    before = SqliteAccountHealth(tmp_path, boot="first")
    await take(before, MINE, FULL)
    before.close()
    again, after = SqliteAccountHealth(tmp_path, boot="first"), SqliteAccountHealth(tmp_path, boot="second")
    assert await read(again, MINE) == [FULL]
    assert await store_is_empty(after)
    again.close()
    after.close()


async def store_is_empty(store):
    return await store.read([MINE]) == [NOBODY]


@pytest.mark.parametrize("broken", [b"this is no database, and never was one" * 100, b""])
async def test_a_broken_file_is_created_anew(tmp_path, broken):
    store = SqliteAccountHealth(tmp_path)
    await take(store, MINE, FULL)
    store.close()
    (tmp_path / "standing.db").write_bytes(broken)
    store = SqliteAccountHealth(tmp_path)
    assert await store_is_empty(store)
    await take(store, MINE, FULL)
    assert await read(store, MINE) == [FULL]
    store.close()


async def test_a_file_that_breaks_while_open_is_repaired_for_the_next_reader(tmp_path):
    store = SqliteAccountHealth(tmp_path)
    await take(store, MINE, FULL)
    store.close()
    assert await read(store, MINE) == [FULL]
    path = tmp_path / "standing.db"
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))
    store._file._db.execute("PRAGMA shrink_memory")  # so that it is read again
    with pytest.raises(DurabilityError, match="the store of standings failed"):
        await take(store, MINE, FULL)
    await take(store, MINE, FULL)
    assert await read(store, MINE) == [FULL]
    store.close()


async def test_rows_of_another_release_are_ignored_and_can_be_overwritten(tmp_path):
    store = SqliteAccountHealth(tmp_path)
    await take(store, MINE, FULL)
    store._file.change(lambda db: db.execute("UPDATE standing SET standing = x'c1'"))
    assert await read(store, MINE) == [AccountHealth()]
    await take(store, MINE, AccountHealth(version=2))
    assert await read(store, MINE) == [AccountHealth(version=2)]
    store.close()


def stored_before(folder, layout):
    """Return a file as the previous release wrote it, with the health of one account in it."""
    old = apsw.Connection(str(folder / "standing.db"))
    old.execute("""
        CREATE TABLE standing (
            tenant TEXT NOT NULL, name TEXT NOT NULL, boot TEXT NOT NULL, standing BLOB NOT NULL,
            PRIMARY KEY (tenant, name)) WITHOUT ROWID
    """)
    old.execute("INSERT INTO standing VALUES (?, ?, 'first', ?)", (*MINE, msgspec.msgpack.encode(FULL)))
    old.pragma("user_version", layout)
    old.close()


async def test_health_before_an_upgrade_is_known_after_it(tmp_path, caplog):
    stored_before(tmp_path, 1)
    caplog.set_level(logging.INFO, "clarion.standings")
    store = SqliteAccountHealth(tmp_path, boot="first")
    assert await read(store, MINE) == [FULL]
    await take(store, MINE, AccountHealth(opens=9))
    assert await read(store, MINE) == [AccountHealth(opens=9)]
    assert caplog.messages == ["standing.db is upgraded from layout 1 to 2; its data is preserved"]
    store.close()


async def test_a_file_of_a_newer_release_is_created_anew_and_logged_once(tmp_path, caplog):
    stored_before(tmp_path, 3)
    caplog.set_level(logging.WARNING, "clarion.standings")
    one, other = SqliteAccountHealth(tmp_path), SqliteAccountHealth(tmp_path)
    assert await store_is_empty(one)
    await take(one, MINE, FULL)
    assert await read(other, MINE) == [FULL]
    (line,) = caplog.messages
    assert line.startswith("standing.db was written by another release (layout 3, now 2)")
    one.close()
    other.close()


def test_before_the_first_account_is_used_there_is_no_file(tmp_path):
    SqliteAccountHealth(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path):
    store = SqliteAccountHealth(tmp_path / "later")
    with pytest.raises(Overloaded, match="standings cannot be opened now"):
        await store.read([MINE])
    (tmp_path / "later").mkdir()
    assert await store_is_empty(store)
    store.close()
