"""Account health, shared by all workers, over every backend; and the embedded one between connections and processes."""

import pytest

from clarion.domain.account_health import AccountHealth, Measure
from clarion.ports.account_health import AccountName
from clarion.ports.versioned import Change, Versioned
from clarion.runtime.shared_counts import settle, settle_each
from tests.contract.backends import ACCOUNT_HEALTH, SHARED
from tests.contract.swaps import Clockwork, count_in_processes, opening, read, take

PORT = "standings"
MINE = AccountName("acme", "mail")
OTHER = AccountName("acme", "texts")
THEIRS = AccountName("other", "mail")
NOBODY = Versioned(AccountHealth(), 0)
FULL = AccountHealth(
    "recovering", 7, ((10, 3, 1), (20, 0, 0)), 5, 6, 2, 1_500, 9, 10, 11, 12, "said nö", Measure(1, 2, 3, 4)
)
COUNTING = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from clarion.domain.errors import Overloaded
from clarion.runtime.clock import SystemClock
from clarion.ports.account_health import AccountName
from clarion.runtime.shared_counts import settle_each
from tests.contract.backends import ACCOUNT_HEALTH

async def main():
    store, clock, number = ACCOUNT_HEALTH[sys.argv[4]](Path(sys.argv[1])), SystemClock(), int(sys.argv[2])
    left = {AccountName("acme", "mail"): number, AccountName("acme", sys.argv[3]): number}
    while any(left.values()):
        names = [name for name, times in left.items() if times]
        more = lambda _, found: ([replace(found[0], opens=found[0].opens + 1)], None)
        try:
            done = await settle_each(store, [[name] for name in names], more, clock)
        except Overloaded:  # the other processes took too long; nothing was stored
            continue
        for name, one in zip(names, done, strict=True):
            left[name] -= one is not None

asyncio.run(main())
"""


@pytest.fixture
async def open_store(control_backend, tmp_path):
    """Return a function that opens the store again, as another process does."""
    async with opening(lambda: ACCOUNT_HEALTH[control_backend](tmp_path)) as once_more:
        yield once_more


@pytest.fixture
def store(open_store):
    return open_store()


async def test_nothing_is_known_at_first(store):
    assert await store.read([MINE, OTHER, THEIRS]) == [NOBODY] * 3
    assert await store.read([]) == []
    assert await store.swap([]) == []


async def test_what_is_decided_is_stored_account_by_account(store):
    done = await settle_each(
        store,
        [[MINE], [OTHER]],
        lambda index, found: ([[FULL, AccountHealth(version=1)][index]], (index, found)),
        Clockwork(),
    )
    assert [one.answer for one in done] == [(0, [AccountHealth()]), (1, [AccountHealth()])]
    assert await read(store, OTHER, MINE, THEIRS) == [AccountHealth(version=1), FULL, AccountHealth()]
    await take(store, MINE, AccountHealth(version=8))
    assert await read(store, MINE) == [AccountHealth(version=8)]


async def test_a_tenant_has_no_part_in_another_ones_account(store):
    await take(store, MINE, FULL)
    assert await store.read([THEIRS]) == [NOBODY]


async def test_what_is_not_changed_stays_at_its_version(store):
    await take(store, MINE, FULL)
    before = await store.read([MINE])
    now, answer = await settle(store, [MINE], lambda found: (found, found[0].state), Clockwork())
    assert (now, answer) == (before, "recovering")
    assert await store.read([MINE]) == before


async def test_a_concurrent_change_is_not_overwritten_and_is_returned(store):
    await take(store, OTHER, AccountHealth(version=1))
    own, other = await store.read([MINE, OTHER])
    await take(store, OTHER, FULL)
    done = await store.swap(
        [[Change(MINE, own.version, AccountHealth(opens=1))], [Change(OTHER, other.version, AccountHealth(opens=2))]]
    )
    assert [one.stored for one in done] == [True, False]
    assert done[1].now == await store.read([OTHER])
    assert await read(store, MINE, OTHER) == [AccountHealth(opens=1), FULL]


async def test_a_decision_that_fails_changes_nothing_and_the_next_one_works(store):
    await take(store, MINE, FULL)

    def fails(_found):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await settle(store, [MINE, OTHER], fails, Clockwork())
    with pytest.raises(ValueError, match="zip"):
        await settle(store, [MINE, OTHER], lambda _found: ([AccountHealth(version=9)], None), Clockwork())
    assert await read(store, MINE, OTHER) == [FULL, AccountHealth()]


@pytest.mark.needs_trait(SHARED)
async def test_two_connections_see_what_the_other_stored(open_store):
    one, other = open_store(), open_store()
    await take(one, MINE, FULL)
    assert await read(other, MINE) == [FULL]
    await take(other, MINE, AccountHealth(version=8))
    assert await read(one, MINE) == [AccountHealth(version=8)]
    one.close()
    assert await read(other, MINE) == [AccountHealth(version=8)]


@pytest.mark.slow
@pytest.mark.needs_trait(SHARED)
async def test_processes_lose_no_change(control_backend, tmp_path, store):
    number, others = 300, ["a", "a", "b", "b"]
    assert count_in_processes(COUNTING, control_backend, tmp_path, number, others) == [0] * len(others)
    found = await read(store, MINE, AccountName("acme", "a"), AccountName("acme", "b"))
    assert [one.opens for one in found] == [number * 4, number * 2, number * 2]
