"""CPU time of awaited work is counted where it is spent, and its failures and cancellations are propagated."""

import asyncio
import time

import pytest

from clarion.runtime.metering import Meter, together


async def burn(ms: float) -> str:
    until_ns = time.thread_time_ns() + int(ms * 1e6)
    while time.thread_time_ns() < until_ns:
        pass
    return "burnt"


async def test_cpu_of_other_tasks_while_it_waits_is_not_counted():
    async def work() -> str:
        await burn(5)
        await asyncio.sleep(0.001)
        return await burn(10)

    meter = Meter()
    found, _ = await asyncio.gather(meter.run(work()), burn(60))
    assert found == "burnt"
    assert 15e6 <= meter.spent_ns < 50e6
    assert 10e6 <= meter.longest_ns < meter.spent_ns


async def test_concurrent_work_is_counted_and_answers_in_order():
    async def number(value: int) -> int:
        await asyncio.sleep(0.001)
        await burn(5)
        return value

    meter = Meter()
    assert await meter.run(together(number(1), number(2))) == [1, 2]
    assert meter.spent_ns >= 10e6
    assert await together(number(3)) == [3]
    assert await together() == []


async def test_failures_are_passed_on_once_all_have_ended():
    ended = []

    async def fails() -> None:
        raise ValueError("no")

    async def ends() -> None:
        await asyncio.sleep(0.001)
        ended.append(True)

    with pytest.raises(ValueError, match="no"):
        await Meter().run(together(fails(), ends()))
    assert ended == [True]


async def test_a_cancellation_is_passed_on():
    heard = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append(True)
            raise

    task = asyncio.ensure_future(Meter().run(waits()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == [True]
