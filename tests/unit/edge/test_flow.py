"""An event that one task at a time waits for."""

import asyncio

import pytest

from clarion.edge.flow import OneWaiterEvent


async def test_a_task_waits_until_the_event_is_set():
    event = OneWaiterEvent()
    waiting = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    event.clear()  # it was set: its waiter goes on all the same, as with asyncio's
    await waiting
    again = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    assert not again.done()
    event.set()
    event.set()
    await again
    await event.wait()


async def test_a_waiter_can_be_cancelled_and_another_may_wait():
    event = OneWaiterEvent()
    first = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await event.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    event.set()
    await event.wait()
    assert first.cancelled()


async def test_an_event_may_begin_set():
    await OneWaiterEvent(is_set=True).wait()
