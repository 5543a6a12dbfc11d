"""Quotas at intake over a slow store of counts: requests that wait together are charged together, exactly."""

import asyncio

import pytest

from clarion.accept.worker_quota import QuotaGate
from clarion.domain.errors import Overloaded, QuotaExceeded
from clarion.domain.quota import Quota
from clarion.stores.memory.quotas import MemoryQuotas
from tests.callers import by_key
from tests.stages.world import Notes
from tests.unit.deliver.paces import TurnedClock

CALLER = by_key()


class FarQuotas(MemoryQuotas):
    """Answers after other tasks have run, and fails on request."""

    asked = 0
    fails = False

    async def swap(self, groups):
        self.asked += 1
        await asyncio.sleep(0.001)
        if self.fails:
            raise Overloaded("quotas cannot be written now")
        return await super().swap(groups)


class Gate:
    """A gate for callers with one quota."""

    def __init__(self, store, quota):
        self._gate = QuotaGate(store, TurnedClock(), Notes())
        self._quotas = {"key": quota}

    async def charge(self, caller, events):
        return await self._gate.charge(caller, self._quotas, events)


def gates(store, count, **figures):
    return [Gate(store, Quota(**figures)) for _ in range(count)]


async def let_through(gate, events=1):
    try:
        await gate.charge(CALLER, events)
    except QuotaExceeded:
        return 0
    return events


async def test_concurrent_requests_read_once_and_share_what_is_left():
    store = FarQuotas()
    (gate,) = gates(store, 1, daily=30)
    assert sum(await asyncio.gather(*(let_through(gate) for _ in range(100)))) == 30
    assert store.asked <= 3


async def test_processes_whose_requests_cross_let_no_more_through():
    store = FarQuotas()
    processes = gates(store, 4, daily=50, rate_per_s=60)
    through = await asyncio.gather(*(let_through(gate, 3) for _ in range(20) for gate in processes))
    assert sum(through) == 48


async def test_a_failed_count_is_reported_to_all_its_waiters():
    store = FarQuotas()
    (gate,) = gates(store, 1, daily=30)
    store.fails = True
    said = await asyncio.gather(*(gate.charge(CALLER, 1) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in said] == [Overloaded] * 5
    store.fails = False
    assert await let_through(gate) == 1


async def test_a_cancelled_waiter_is_not_charged_and_delays_nobody():
    store = FarQuotas()
    (gate,) = gates(store, 1, daily=10)
    leader, *others = [asyncio.create_task(gate.charge(CALLER, 1)) for _ in range(4)]
    await asyncio.sleep(0)
    leader.cancel()
    others[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    done = await asyncio.gather(*others, return_exceptions=True)
    assert [isinstance(one, BaseException) for one in done] == [True, False, False]
    assert 7 <= sum([await let_through(gate) for _ in range(10)]) <= 8
