"""Leased partitions: a fair share each, loans for what nobody holds, and nothing held past its time."""

import asyncio

import pytest

from clarion.backends.memory.journal import MemoryJournal
from clarion.domain.errors import Overloaded
from clarion.domain.limits import LEASE_LOAN_MS, LEASE_STEP_MS, LEASE_TTL_MS_DEFAULT
from clarion.journal.consumer import LeasedPartitions
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


async def test_a_worker_that_comes_back_gets_its_partitions_back(journal, clock):
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
    assert leases.held() == {}, "what could not be renewed is not used"
    assert not keeping.done()
    stop.set()
    await keeping


async def test_all_groups_of_a_worker_renew_in_one_commit_and_never_wait_longer_than_a_step(journal, clock):
    plan, record = (LeasedPartitions(journal, group, "worker-0", clock, count=2) for group in ("plan", "record"))
    other = worker(journal, clock, 1, 2)
    for _ in range(0, 2 * LEASE_STEP_MS, 7):
        assert plan._pause_ms() == record._pause_ms()
        assert LEASE_STEP_MS // 10 <= plan._pause_ms() <= LEASE_STEP_MS
        assert abs(plan._pause_ms() - other._pause_ms()) >= LEASE_STEP_MS // 3
        clock.pass_ms(7)


async def test_whoever_asked_hears_when_what_is_held_changes(journal, clock):
    one = worker(journal, clock)
    heard = []
    one.on_change = lambda: heard.append(set(one.held()))
    await one.step()
    await one.step()
    assert heard == [{0, 1, 2, 3}]
    clock.pass_ms(2 * LEASE_TTL_MS_DEFAULT)
    await one.step()  # what ran out is lost, and taken again with other fences
    assert heard == [{0, 1, 2, 3}, {0, 1, 2, 3}]
