"""Quota usage shared by processes, over every backend; and the embedded one between connections and processes."""

import pytest

from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import Change, Versioned
from clarion.runtime.shared_counts import settle
from tests.contract.backends import QUOTAS, SHARED
from tests.contract.swaps import Clockwork, count_in_processes, opening, read, take

PORT = "quotas"
MINE = BucketName("acme", "key", "rate")
OURS = BucketName("acme", "", "rate")
DAILY = BucketName("acme", "", "daily")
NOBODY = Versioned(Usage(), 0)
COUNTING = """
import asyncio, sys
from pathlib import Path
from clarion.domain.errors import Overloaded
from clarion.domain.quota import Usage
from clarion.runtime.clock import SystemClock
from clarion.ports.quotas import BucketName
from clarion.runtime.shared_counts import settle
from tests.contract.backends import QUOTAS

async def main():
    store, clock, left = QUOTAS[sys.argv[4]](Path(sys.argv[1])), SystemClock(), int(sys.argv[2])
    names = [BucketName("acme", "", "daily"), BucketName("acme", "", sys.argv[3])]
    known = None
    while left:
        try:
            count = lambda usages: ([Usage(one.used_m + 1) for one in usages], None)
            known, _ = await settle(store, names, count, clock, known)
            left -= 1
        except Overloaded:  # the error of a caller whose swaps lost too often; nothing was stored
            pass

asyncio.run(main())
"""


@pytest.fixture
async def open_store(control_backend, tmp_path):
    """Return a function that opens the store again, as another process does."""
    async with opening(lambda: QUOTAS[control_backend](tmp_path)) as once_more:
        yield once_more


@pytest.fixture
def store(open_store):
    return open_store()


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


@pytest.mark.needs_trait(SHARED)
async def test_two_connections_see_what_the_other_stored(open_store):
    one, other = open_store(), open_store()
    await take(one, OURS, Usage(5, 6))
    assert await read(other, OURS) == [Usage(5, 6)]
    await take(other, OURS, Usage(7, 8))
    assert await read(one, OURS) == [Usage(7, 8)]
    one.close()
    assert await read(other, OURS) == [Usage(7, 8)]


@pytest.mark.slow
@pytest.mark.needs_trait(SHARED)
async def test_processes_lose_no_count(control_backend, tmp_path, store):
    number, kinds = 300, ["rate", "rate", "per_day", "per_day"]
    assert count_in_processes(COUNTING, control_backend, tmp_path, number, kinds) == [0] * len(kinds)
    each = [Usage(number * 2)] * 2
    assert await read(store, DAILY, OURS, OURS._replace(kind="per_day")) == [Usage(number * 4), *each]
