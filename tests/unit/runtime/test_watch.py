"""Watches over one source of growth: nothing is missed or reported twice, and every watch is woken."""

import asyncio

from clarion.journal.topics import CANCELLATIONS, TIMERS
from clarion.runtime.watch import GrowthSignal, streams_of, woken_by

FRAMES = ("outcomes", 0)


async def test_growth_before_the_wait_ends_it_at_once():
    growth = GrowthSignal(dict)
    watch = growth.watch()
    growth.notify([FRAMES])
    assert await asyncio.wait_for(watch.wait(10_000), 1)


async def test_growth_before_the_watch_is_not_reported():
    growth = GrowthSignal(dict)
    growth.notify([FRAMES])
    assert not await growth.watch().wait(0)


async def test_many_steps_are_one_report():
    growth = GrowthSignal(dict)
    watch = growth.watch()
    for _ in range(5):
        growth.notify([FRAMES])
    assert [await watch.wait(0), await watch.wait(0)] == [True, False]


async def test_watches_do_not_disturb_each_other():
    growth = GrowthSignal(dict)
    one, two = growth.watch(), growth.watch()
    growth.notify([FRAMES])
    assert await one.wait(0)
    assert await two.wait(0)


async def test_a_cancelled_wait_loses_nothing():
    growth = GrowthSignal(dict)
    watch = growth.watch()
    wait = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    wait.cancel()
    growth.notify([FRAMES])
    assert await watch.wait(0)


async def test_a_watch_over_streams_ignores_other_streams():
    growth = GrowthSignal(dict)
    watch = growth.watch(streams_of(["outcomes"], [0, 1]))
    growth.notify([("accepted.normal", 0), ("outcomes", 2)])
    assert not await watch.wait(0)
    waiting = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    growth.notify([("outcomes", 1)])
    assert await asyncio.wait_for(waiting, 1)
    assert not await watch.wait(0)


async def test_a_poll_finds_unannounced_growth():
    heads = {("outcomes", 0): 1, ("accepted.normal", 0): 1}
    growth = GrowthSignal(lambda: dict(heads))
    own, other = growth.watch(streams_of(["outcomes"], [0])), growth.watch(streams_of(["accepted.normal"], [0]))
    timers = growth.watch(streams_of([TIMERS], [3]))
    heads["outcomes", 0] = 2
    heads[TIMERS, 0] = 1
    growth.look()
    assert [await one.wait(0) for one in (own, other, timers)] == [True, False, True]
    growth.look()
    assert not await own.wait(0)


async def test_a_marker_is_watched_for_any_partitions():
    growth = GrowthSignal(dict)
    watch = growth.watch(streams_of(["accepted.normal", CANCELLATIONS], [1]))
    growth.notify([(CANCELLATIONS, 0)])
    assert await watch.wait(0)


def test_interests_are_partitions_and_markers_of_live_watches():
    growth = GrowthSignal(dict)
    watches = [
        growth.watch(streams_of(["accepted.normal", "outcomes"], [1, 2])),
        growth.watch(streams_of([TIMERS], [0])),
    ]
    assert growth.interests() == {1, 2, TIMERS}
    watches.pop(0)
    assert growth.interests() == {TIMERS}
    watches.append(growth.watch())
    assert growth.interests() is None


async def test_a_waiter_is_woken_by_the_stop():
    growth, stop = GrowthSignal(dict), asyncio.Event()
    watch = growth.watch()
    async with woken_by(stop, watch.wake):
        waiting = asyncio.ensure_future(watch.wait(10_000))
        await asyncio.sleep(0)
        stop.set()
        assert await asyncio.wait_for(waiting, 1)
