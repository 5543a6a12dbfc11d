"""What only the file of standings has: it waits for nobody, and is made anew when nothing can be read from it."""

import logging

import apsw
import msgspec
import pytest

from clarion.backends.sqlite.standings import SqliteStandings
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.standing import Standing
from clarion.ports.standings import AccountName
from clarion.ports.versioned import Versioned
from tests.contract.swaps import read, take
from tests.contract.test_standings import FULL

MINE = AccountName("acme", "mail")
NOBODY = Versioned(Standing(), 0)


async def test_a_file_that_somebody_else_writes_to_for_long_is_overloaded(tmp_path):
    one = SqliteStandings(tmp_path)
    await take(one, MINE, Standing(opens=1))
    held = apsw.Connection(str(tmp_path / "standing.db"))
    held.execute("BEGIN IMMEDIATE")
    assert await read(one, MINE) == [Standing(opens=1)]
    with pytest.raises(Overloaded, match="standings cannot be written now"):
        await take(one, MINE, Standing(opens=2))
    held.execute("ROLLBACK")
    held.close()
    await take(one, MINE, Standing(opens=2))
    assert await read(one, MINE) == [Standing(opens=2)]
    one.close()


async def test_nothing_is_known_of_what_an_earlier_boot_found(tmp_path):
    before = SqliteStandings(tmp_path, boot="first")
    await take(before, MINE, FULL)
    before.close()
    again, after = SqliteStandings(tmp_path, boot="first"), SqliteStandings(tmp_path, boot="second")
    assert await read(again, MINE) == [FULL]
    assert await store_is_empty(after)
    again.close()
    after.close()


async def store_is_empty(store):
    return await store.read([MINE]) == [NOBODY]


@pytest.mark.parametrize("broken", [b"this is no database, and never was one" * 100, b""])
async def test_a_broken_file_is_made_anew(tmp_path, broken):
    store = SqliteStandings(tmp_path)
    await take(store, MINE, FULL)
    store.close()
    (tmp_path / "standing.db").write_bytes(broken)
    store = SqliteStandings(tmp_path)
    assert await store_is_empty(store)
    await take(store, MINE, FULL)
    assert await read(store, MINE) == [FULL]
    store.close()


async def test_a_file_that_breaks_while_it_is_open_is_mended_for_whoever_comes_next(tmp_path):
    store = SqliteStandings(tmp_path)
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


async def test_what_another_release_wrote_is_not_known_and_can_be_changed(tmp_path):
    store = SqliteStandings(tmp_path)
    await take(store, MINE, FULL)
    store._file.change(lambda db: db.execute("UPDATE standing SET standing = x'c1'"))
    assert await read(store, MINE) == [Standing()]
    await take(store, MINE, Standing(version=2))
    assert await read(store, MINE) == [Standing(version=2)]
    store.close()


def stored_before(folder, layout):
    """A file as the release before wrote it, with a standing in it."""
    old = apsw.Connection(str(folder / "standing.db"))
    old.execute("""
        CREATE TABLE standing (
            tenant TEXT NOT NULL, name TEXT NOT NULL, boot TEXT NOT NULL, standing BLOB NOT NULL,
            PRIMARY KEY (tenant, name)) WITHOUT ROWID
    """)
    old.execute("INSERT INTO standing VALUES (?, ?, 'first', ?)", (*MINE, msgspec.msgpack.encode(FULL)))
    old.pragma("user_version", layout)
    old.close()


async def test_what_was_known_before_an_upgrade_is_known_after_it(tmp_path, caplog):
    stored_before(tmp_path, 1)
    caplog.set_level(logging.INFO, "clarion.standings")
    store = SqliteStandings(tmp_path, boot="first")
    assert await read(store, MINE) == [FULL]
    await take(store, MINE, Standing(opens=9))
    assert await read(store, MINE) == [Standing(opens=9)]
    assert caplog.messages == ["standing.db goes from layout 1 to 2, with what is in it"]
    store.close()


async def test_a_file_of_a_newer_release_is_made_anew_and_that_is_said_once(tmp_path, caplog):
    stored_before(tmp_path, 3)
    caplog.set_level(logging.WARNING, "clarion.standings")
    one, other = SqliteStandings(tmp_path), SqliteStandings(tmp_path)
    assert await store_is_empty(one)
    await take(one, MINE, FULL)
    assert await read(other, MINE) == [FULL]
    (line,) = caplog.messages
    assert line.startswith("standing.db is of another release (layout 3, now 2)")
    one.close()
    other.close()


def test_before_the_first_account_is_used_there_is_no_file(tmp_path):
    SqliteStandings(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path):
    store = SqliteStandings(tmp_path / "later")
    with pytest.raises(Overloaded, match="standings cannot be opened now"):
        await store.read([MINE])
    (tmp_path / "later").mkdir()
    assert await store_is_empty(store)
    store.close()
