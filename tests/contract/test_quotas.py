"""The count that processes share, over every backend; and the embedded one between connections and processes."""

import logging
import subprocess
import sys

import apsw
import pytest

from clarion.backends.memory.quotas import MemoryQuotas
from clarion.backends.sqlite.quotas import SqliteQuotas
from clarion.domain.errors import Overloaded
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import Change, Versioned, settle
from tests.contract.swaps import Clockwork, read, take

PORT = "quotas"
MINE = BucketName("acme", "key", "rate")
OURS = BucketName("acme", "", "rate")
DAILY = BucketName("acme", "", "daily")
NOBODY = Versioned(Usage(), 0)
BACKENDS = {"memory": lambda _folder: MemoryQuotas(), "sqlite": SqliteQuotas}
COUNTING = """
import asyncio, sys
from pathlib import Path
from clarion.backends.sqlite.quotas import SqliteQuotas
from clarion.domain.errors import Overloaded
from clarion.domain.quota import Usage
from clarion.ops.clock import SystemClock
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import settle

async def main():
    store, clock, left = SqliteQuotas(Path(sys.argv[1])), SystemClock(), int(sys.argv[2])
    names = [BucketName("acme", "", "daily"), BucketName("acme", "", sys.argv[3])]
    known = None
    while left:
        try:
            count = lambda usages: ([Usage(one.used_m + 1) for one in usages], None)
            known, _ = await settle(store, names, count, clock, known)
            left -= 1
        except Overloaded:  # what a caller is told when the others were quicker too often; nothing was stored
            pass

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


async def test_nobody_has_used_anything_at_first(store):
    assert await store.read([MINE, OURS, DAILY]) == [NOBODY] * 3
    assert await store.read([]) == []
    assert await store.swap([]) == []


async def test_what_is_decided_is_stored_bucket_by_bucket(store):
    usages = [Usage(1_500, 10), Usage(10**15, 20), Usage(3, 30, 19_000)]
    names = [MINE, OURS, DAILY]
    now, answer = await settle(store, names, lambda before: (usages, ("answer", before)), Clockwork())
    assert answer == ("answer", [Usage(), Usage(), Usage()])
    assert [one.value for one in now] == usages
    assert await store.read(names) == now
    assert await read(store, DAILY, MINE, OURS) == [usages[2], usages[0], usages[1]]
    assert await read(store, BucketName("other", "key", "rate"), BucketName("acme", "key", "daily")) == [Usage()] * 2


async def test_a_decision_over_several_buckets_is_stored_as_a_whole_or_not_at_all(store):
    await take(store, OURS, Usage(7))
    one = [Change(MINE, 0, Usage(1)), Change(OURS, 0, Usage(2)), Change(DAILY, 0, Usage(3))]
    ((stored, now),) = await store.swap([one])
    assert (stored, [usage for usage, _ in now]) == (False, [Usage(), Usage(7), Usage()])
    assert await read(store, MINE, OURS, DAILY) == [Usage(), Usage(7), Usage()]
    ((stored, now),) = await store.swap(
        [[change._replace(version=seen.version) for change, seen in zip(one, now, strict=True)]]
    )
    assert stored
    assert await store.read([MINE, OURS, DAILY]) == now
    assert [usage for usage, _ in now] == [Usage(1), Usage(2), Usage(3)]


async def test_one_call_stores_for_many_and_one_that_is_stale_keeps_nobody_else_back(store):
    names = [BucketName(f"tenant-{number}", "", "rate") for number in range(5)]
    await take(store, names[2], Usage(9))
    done = await store.swap(
        [[Change(name, 0, Usage(1)), Change(name._replace(kind="daily"), 0, Usage(2))] for name in names]
    )
    assert [one.stored for one in done] == [True, True, False, True, True]
    assert [usage.used_m for usage in await read(store, *names)] == [1, 1, 9, 1, 1]
    assert await read(store, names[2]._replace(kind="daily")) == [Usage()]


async def test_a_version_never_comes_back(store):
    seen = set()
    for number in range(20):
        ((_, version),) = await store.read([OURS])
        assert (version == 0) == (number % 5 == 0)
        (done,) = await store.swap([[Change(OURS, version, Usage(number))]])
        assert done.stored
        assert done.now[0].version not in seen
        seen.add(done.now[0].version)
        if number % 5 == 4:
            await store.forget("acme", "", ("rate", "rate~"), (10, 20))
    for version in seen:
        (done,) = await store.swap([[Change(OURS, version, Usage(99))]])
        assert not done.stored


async def test_buckets_of_one_owner_that_are_of_no_time_to_keep_are_forgotten(store):
    names = [BucketName("acme", "account:a", kind) for kind in ("per_day", "to:0f", "to:1a", "to:1b", "to:1c", "to:20")]
    others = [BucketName("acme", "account:b", "to:1a"), BucketName("other", "account:a", "to:1a")]
    times_ms = [5, 5, 10, 11, 21, 5, 5, 5]
    for name, at_ms in zip([*names, *others], times_ms, strict=True):
        await take(store, name, Usage(1, at_ms))
    await store.forget("acme", "account:a", ("to:1", "to:2"), (10, 20))
    left = [usage.used_m for usage in await read(store, *names, *others)]
    assert left == [1, 1, 0, 1, 0, 1, 1, 1]


async def test_a_decision_that_fails_changes_nothing_and_the_next_one_works(store):
    await take(store, MINE, Usage(1, 2))

    def fails(_usages):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await settle(store, [MINE, OURS], fails, Clockwork())
    with pytest.raises(ValueError, match="zip"):
        await settle(store, [MINE, OURS], lambda _usages: ([Usage(9, 9)], None), Clockwork())
    assert await read(store, MINE, OURS) == [Usage(1, 2), Usage()]


async def test_two_connections_see_what_the_other_stored(tmp_path):
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    await take(one, OURS, Usage(5, 6))
    assert await read(other, OURS) == [Usage(5, 6)]
    await take(other, OURS, Usage(7, 8))
    assert await read(one, OURS) == [Usage(7, 8)]
    one.close()
    assert await read(other, OURS) == [Usage(7, 8)]
    other.close()


async def test_a_file_that_somebody_else_writes_to_for_long_is_overloaded(tmp_path):
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


@pytest.mark.slow
async def test_processes_lose_no_count(tmp_path):
    number, kinds = 300, ["rate", "rate", "per_day", "per_day"]
    assert count_in_processes(tmp_path, number, kinds) == [0] * len(kinds)
    store = SqliteQuotas(tmp_path)
    each = [Usage(number * 2)] * 2
    assert await read(store, DAILY, OURS, OURS._replace(kind="per_day")) == [Usage(number * 4), *each]
    store.close()


@pytest.mark.parametrize("broken", [b"this is no database, and never was one" * 100, b""])
async def test_a_broken_file_is_made_anew(tmp_path, broken):
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


async def test_a_file_of_another_release_is_made_anew_and_that_is_said_once(tmp_path, caplog):
    old = apsw.Connection(str(tmp_path / "quota.db"))
    old.execute("CREATE TABLE usage (tenant, key_id, kind, used_m, at_ms, period)")
    old.execute("INSERT INTO usage VALUES ('acme', '', 'rate', 5, 6, 7)")
    old.pragma("user_version", 1)
    old.close()
    caplog.set_level(logging.WARNING, "clarion.quotas")
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    assert await one.read([OURS]) == [NOBODY]
    await take(one, OURS, Usage(1))
    assert await read(other, OURS) == [Usage(1)]
    (line,) = caplog.messages
    assert line == "quota.db is of another release (layout 1, now 2) and is made anew, so what was in it is forgotten"
    one.close()
    other.close()


def test_without_a_caller_with_a_quota_there_is_no_file(tmp_path):
    SqliteQuotas(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
