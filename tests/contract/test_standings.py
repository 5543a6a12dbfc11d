"""How accounts stand, as one fact for all workers, over every backend; and the embedded one between connections and
processes."""

import logging
import subprocess
import sys

import apsw
import pytest

from clarion.backends.memory.standings import MemoryStandings
from clarion.backends.sqlite.standings import SqliteStandings
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.standing import Measure, Standing
from clarion.ports.standings import AccountName
from clarion.ports.versioned import Change, Versioned, settle, settle_each
from tests.contract.swaps import Clockwork, read, take

PORT = "standings"
MINE = AccountName("acme", "mail")
OTHER = AccountName("acme", "texts")
THEIRS = AccountName("other", "mail")
NOBODY = Versioned(Standing(), 0)
BACKENDS = {"memory": lambda _folder: MemoryStandings(), "sqlite": SqliteStandings}
FULL = Standing(
    "recovering", 7, ((10, 3, 1), (20, 0, 0)), 5, 6, 2, 1_500, 9, 10, 11, 12, "said nö", Measure(1, 2, 3, 4)
)
COUNTING = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from clarion.backends.sqlite.standings import SqliteStandings
from clarion.domain.errors import Overloaded
from clarion.ops.clock import SystemClock
from clarion.ports.standings import AccountName
from clarion.ports.versioned import settle_each

async def main():
    store, clock, number = SqliteStandings(Path(sys.argv[1])), SystemClock(), int(sys.argv[2])
    left = {AccountName("acme", "mail"): number, AccountName("acme", sys.argv[3]): number}
    while any(left.values()):
        names = [name for name, times in left.items() if times]
        more = lambda _, found: ([replace(found[0], opens=found[0].opens + 1)], None)
        try:
            done = await settle_each(store, [[name] for name in names], more, clock)
        except Overloaded:  # the others took too long; nothing was stored
            continue
        for name, one in zip(names, done, strict=True):
            left[name] -= one is not None

asyncio.run(main())
"""


def count_in_processes(folder, number, names):
    """How processes ended that count to a number, all with one name and each with another."""
    running = [subprocess.Popen([sys.executable, "-c", COUNTING, str(folder), str(number), name]) for name in names]
    return [process.wait(timeout=60) for process in running]


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    opened = BACKENDS[request.param](tmp_path)
    yield opened
    opened.close()


async def test_nothing_is_known_at_first(store):
    assert await store.read([MINE, OTHER, THEIRS]) == [NOBODY] * 3
    assert await store.read([]) == []
    assert await store.swap([]) == []


async def test_what_is_decided_is_stored_account_by_account(store):
    done = await settle_each(
        store,
        [[MINE], [OTHER]],
        lambda index, found: ([[FULL, Standing(version=1)][index]], (index, found)),
        Clockwork(),
    )
    assert [one.answer for one in done] == [(0, [Standing()]), (1, [Standing()])]
    assert await read(store, OTHER, MINE, THEIRS) == [Standing(version=1), FULL, Standing()]
    await take(store, MINE, Standing(version=8))
    assert await read(store, MINE) == [Standing(version=8)]


async def test_a_tenant_has_no_part_in_another_ones_account(store):
    await take(store, MINE, FULL)
    assert await store.read([THEIRS]) == [NOBODY]


async def test_what_is_not_changed_stays_at_its_version(store):
    await take(store, MINE, FULL)
    before = await store.read([MINE])
    now, answer = await settle(store, [MINE], lambda found: (found, found[0].state), Clockwork())
    assert (now, answer) == (before, "recovering")
    assert await store.read([MINE]) == before


async def test_what_somebody_else_changed_first_is_not_overwritten_and_is_told(store):
    await take(store, OTHER, Standing(version=1))
    mine, other = await store.read([MINE, OTHER])
    await take(store, OTHER, FULL)
    done = await store.swap(
        [[Change(MINE, mine.version, Standing(opens=1))], [Change(OTHER, other.version, Standing(opens=2))]]
    )
    assert [one.stored for one in done] == [True, False]
    assert done[1].now == await store.read([OTHER])
    assert await read(store, MINE, OTHER) == [Standing(opens=1), FULL]


async def test_a_decision_that_fails_changes_nothing_and_the_next_one_works(store):
    await take(store, MINE, FULL)

    def fails(_found):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await settle(store, [MINE, OTHER], fails, Clockwork())
    with pytest.raises(ValueError, match="zip"):
        await settle(store, [MINE, OTHER], lambda _found: ([Standing(version=9)], None), Clockwork())
    assert await read(store, MINE, OTHER) == [FULL, Standing()]


async def test_two_connections_see_what_the_other_stored(tmp_path):
    one, other = SqliteStandings(tmp_path), SqliteStandings(tmp_path)
    await take(one, MINE, FULL)
    assert await read(other, MINE) == [FULL]
    await take(other, MINE, Standing(version=8))
    assert await read(one, MINE) == [Standing(version=8)]
    one.close()
    assert await read(other, MINE) == [Standing(version=8)]
    other.close()


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


@pytest.mark.slow
async def test_processes_lose_no_change(tmp_path):
    number, others = 300, ["a", "a", "b", "b"]
    assert count_in_processes(tmp_path, number, others) == [0] * len(others)
    store = SqliteStandings(tmp_path)
    found = await read(store, MINE, AccountName("acme", "a"), AccountName("acme", "b"))
    assert [one.opens for one in found] == [number * 4, number * 2, number * 2]
    store.close()


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


async def test_a_file_of_another_release_is_made_anew_and_that_is_said_once(tmp_path, caplog):
    old = apsw.Connection(str(tmp_path / "standing.db"))
    old.execute("CREATE TABLE standing (tenant, name, boot, standing)")
    old.pragma("user_version", 1)
    old.close()
    caplog.set_level(logging.WARNING, "clarion.standings")
    one, other = SqliteStandings(tmp_path), SqliteStandings(tmp_path)
    assert await store_is_empty(one)
    await take(one, MINE, FULL)
    assert await read(other, MINE) == [FULL]
    (line,) = caplog.messages
    assert line.startswith("standing.db is of another release (layout 1, now 2)")
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
