"""Leased partitions: a fair share each, loans of partitions that no worker holds, and no lease used past its expiry."""

import asyncio

import pytest

from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import LEASE_LOAN_MS, LEASE_STEP_MS, LEASE_TTL_MS_DEFAULT
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.runtime.consumer import LeasedPartitions, LeasedWatch, LeaseRenewer, shift_ms
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import VirtualClock

PARTITIONS = 4


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def journal(clock):
    return MemoryJournal(clock, PARTITIONS)


def worker(journal, clock, index=0, count=1) -> LeasedPartitions:
    return LeasedPartitions(journal, "record", f"worker-{index}", clock, index=index, count=count)


def frames(topic, partition):
    return StageResult(frames=[Frame(topic, partition, 1, b"x")])


async def steps(clock, *workers, ms: int) -> None:
    for _ in range(ms // LEASE_STEP_MS):
        clock.pass_ms(LEASE_STEP_MS)
        for one in workers:
            await one.step()


async def test_one_worker_holds_everything_at_once(journal, clock):
    alone = worker(journal, clock)
    await alone.step()
    assert set(alone.held()) == {0, 1, 2, 3}


async def test_workers_share_evenly_and_keep_their_share(journal, clock):
    first, second = worker(journal, clock, 0, 2), worker(journal, clock, 1, 2)
    await first.step()
    await second.step()
    before = first.held() | second.held()
    await steps(clock, first, second, ms=5 * LEASE_TTL_MS_DEFAULT)
    assert (set(first.held()), set(second.held())) == ({0, 2}, {1, 3})
    assert first.held() | second.held() == before


async def test_partitions_of_a_dead_worker_are_taken_over_with_a_higher_fence(journal, clock):
    first, second = worker(journal, clock, 0, 2), worker(journal, clock, 1, 2)
    await first.step()
    await second.step()
    dead = second.held()
    await steps(clock, first, ms=3 * LEASE_TTL_MS_DEFAULT)
    assert set(first.held()) == {0, 1, 2, 3}
    assert all(first.held()[partition].fence > lease.fence for partition, lease in dead.items())


async def test_a_returning_worker_gets_its_partitions_back(journal, clock):
    first = worker(journal, clock, 0, 2)
    await steps(clock, first, ms=3 * LEASE_TTL_MS_DEFAULT)
    assert set(first.held()) == {0, 1, 2, 3}
    second = worker(journal, clock, 1, 2)
    await steps(clock, first, second, ms=LEASE_LOAN_MS + LEASE_TTL_MS_DEFAULT)
    assert (set(first.held()), set(second.held())) == ({0, 2}, {1, 3})


async def test_a_restarted_worker_takes_its_own_back_at_once(journal, clock):
    before = worker(journal, clock)
    await before.step()
    after = worker(journal, clock)
    await after.step()
    assert all(lease.fence > before.held()[p].fence for p, lease in after.held().items())
    await before.step()
    assert set(before.held()) | set(after.held()) == {0, 1, 2, 3}


async def test_a_worker_that_slept_past_its_leases_holds_none(journal, clock):
    sleeper = worker(journal, clock)
    await sleeper.step()
    clock.pass_ms(LEASE_TTL_MS_DEFAULT)
    assert sleeper.held() == {}
    await sleeper.step()
    assert set(sleeper.held()) == {0, 1, 2, 3}


async def test_stopping_gives_leases_back(journal, clock):
    stop = asyncio.Event()
    first = worker(journal, clock)
    await first.step()
    stop.set()
    await first.run(stop)
    assert first.held() == {}
    assert await journal.acquire("record", 0, "someone-else", 1_000) is not None


async def test_a_journal_without_room_for_a_while_costs_a_worker_nothing(clock):
    class Busy(MemoryJournal):
        full = False

        async def renew(self, leases, ttl_ms):
            if self.full:
                raise Overloaded("no room")
            return await super().renew(leases, ttl_ms)

    journal = Busy(clock, 2)
    leases = worker(journal, clock)
    await leases.step()
    stop = asyncio.Event()
    journal.full = True
    keeping = asyncio.create_task(leases.run(stop))
    await asyncio.sleep(0)
    assert leases.held().keys() == {0, 1}
    clock.pass_ms(LEASE_TTL_MS_DEFAULT)
    assert leases.held() == {}, "a lease that could not be renewed is not used"
    assert not keeping.done()
    stop.set()
    await keeping


class CallCounter:
    """A store that counts renewals."""

    def __init__(self, store):
        self._store = store
        self.renewals = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def renew(self, leases, ttl_ms):
        self.renewals.append(len(leases))
        return await self._store.renew(leases, ttl_ms)


def kept(store, clock, index, count, *names):
    """Return a lease renewer and its groups."""
    renewer = LeaseRenewer(store, clock, LEASE_TTL_MS_DEFAULT, shift_ms(index, count, LEASE_TTL_MS_DEFAULT))
    return renewer, [
        LeasedPartitions(store, name, f"worker-{index}", clock, index=index, count=count, renewer=renewer)
        for name in names
    ]


async def test_a_worker_renews_the_leases_of_all_its_groups_by_one_call(journal, clock):
    store = CallCounter(journal)
    renewer, groups = kept(store, clock, 0, 1, "plan", "record", "deliver.push")
    stop, release = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(one) for one in (renewer.run(stop), *(group.run(release) for group in groups))]
    await asyncio.sleep(0.01)
    assert [group.held().keys() for group in groups] == [{0, 1, 2, 3}] * 3
    await renewer.step()
    assert store.renewals[-1] == 12
    release.set()
    await asyncio.gather(*tasks[1:])
    stop.set()
    await tasks[0]
    other = worker(journal, clock)
    await other.step()
    assert other.held().keys() == {0, 1, 2, 3}, "a lease that is no longer renewed is given back"


async def test_a_renewer_ends_when_it_is_cancelled_as_a_group_joins(journal, clock):
    renewer, (group,) = kept(journal, clock, 0, 1, "plan")
    renewing = asyncio.create_task(renewer.run(asyncio.Event()))
    await asyncio.sleep(0.01)
    with renewer.renewing(group):
        await asyncio.sleep(0)  # the wait has its result, which its task has not seen
        renewing.cancel()
        await asyncio.wait([renewing], timeout=1)
    assert renewing.cancelled()


async def test_workers_renew_at_different_times_and_less_often_than_they_ask(journal, clock):
    one, (own,) = kept(journal, clock, 0, 2, "plan")
    two, (theirs,) = kept(journal, clock, 1, 2, "plan")
    for renewer, group in ((one, own), (two, theirs)):
        with renewer.renewing(group):
            assert LEASE_STEP_MS // 10 <= renewer.pause_ms() <= LEASE_STEP_MS, "no lease is held yet"
            await renewer.step()
            for _ in range(0, 2 * LEASE_TTL_MS_DEFAULT, 97):
                assert LEASE_STEP_MS // 10 <= renewer.pause_ms() <= LEASE_TTL_MS_DEFAULT // 2
                assert abs(one.pause_ms() - two.pause_ms()) >= LEASE_STEP_MS // 3
                clock.pass_ms(97)


async def test_growth_before_a_change_of_leases_is_still_reported(journal, clock):
    leases = worker(journal, clock)
    watch = LeasedWatch(journal, ["outcomes"], leases)
    await leases.step()
    assert await watch.wait(0), "a change of leases wakes the watch"
    watch.follow()
    await journal.commit(frames(topic="outcomes", partition=2))
    clock.pass_ms(2 * LEASE_TTL_MS_DEFAULT)
    watch.follow()  # no lease is held any more
    assert watch.grown == {("outcomes", 2)}
    assert await watch.wait(0)
    await leases.step()
    watch.follow()
    await journal.commit(frames(topic="outcomes", partition=3))
    assert ("outcomes", 3) in watch.grown


async def test_watchers_are_woken_when_leases_change(journal, clock):
    one = worker(journal, clock)
    heard = []
    one.on_change = lambda: heard.append(set(one.held()))
    await one.step()
    await one.step()
    assert heard == [{0, 1, 2, 3}]
    clock.pass_ms(2 * LEASE_TTL_MS_DEFAULT)
    await one.step()  # expired leases are lost, and acquired again with new fences
    assert heard == [{0, 1, 2, 3}, {0, 1, 2, 3}]
