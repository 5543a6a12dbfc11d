"""Limits over a slow store: each end, return or request meanwhile is counted once."""

import asyncio

from clarion.deliver.accounts.worker_pace import Pace
from clarion.domain.channel import Lane
from tests.unit.deliver.paces import CountedQuotas, RecordedTelemetry, TurnedClock, account


class FarQuotas(CountedQuotas):
    """Answers after other tasks have run."""

    async def read(self, names):
        await asyncio.sleep(0.001)
        return await super().read(names)

    async def swap(self, groups):
        await asyncio.sleep(0.001)
        return await super().swap(groups)


async def test_no_more_calls_than_the_limit_however_they_cross():
    clock, store = TurnedClock(), FarQuotas()
    workers = [Pace(store, clock, RecordedTelemetry(), f"worker-{index}") for index in range(2)]
    limited = account(concurrent=5)
    under_way = most = calls = 0

    async def deliver(pace):
        nonlocal under_way, most, calls
        for _ in range(15):
            clock.passed_ms += 300
            granted = (await pace.draw(limited, Lane.NORMAL, ["+1", "+2"])).count(None)
            under_way += granted
            most, calls = max(most, under_way), calls + granted
            await asyncio.sleep(0.001)
            for _ in range(granted):
                under_way -= 1
                pace.end_call(limited)
            if pace.is_due:
                await pace.flush()

    await asyncio.gather(*(deliver(workers[index % 2]) for index in range(8)))
    assert most <= 5
    assert calls > 20
    for worker in workers:  # as a pool does from time to time
        await worker.flush()
    clock.passed_ms += 10_000
    assert (await workers[0].draw(limited, Lane.NORMAL, ["+1"] * 9)).count(None) == 5, "no call is counted forever"


async def test_a_day_is_not_exceeded_by_batches_that_cross():
    clock, store = TurnedClock(), FarQuotas()
    workers = [Pace(store, clock, RecordedTelemetry(), f"worker-{index}") for index in range(2)]
    limited = account(per_day=40)
    taken = await asyncio.gather(*(workers[index % 2].draw(limited, Lane.NORMAL, ["+1"] * 7) for index in range(20)))
    assert sum(times.count(None) for times in taken) == 40
