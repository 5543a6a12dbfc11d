"""Watches over one growth: nothing missed, nothing told twice, nobody left behind."""

import asyncio

from clarion.journal.topics import CANCELLATIONS, TIMERS
from clarion.journal.watch import Growth, streams_of, woken_by

FRAMES = ("outcomes", 0)


async def test_growth_before_the_wait_ends_it_at_once():
    growth = Growth(dict)
    watch = growth.watch()
    growth.grew([FRAMES])
    assert await asyncio.wait_for(watch.wait(10_000), 1)


async def test_growth_before_the_watch_is_not_reported():
    growth = Growth(dict)
    growth.grew([FRAMES])
    assert not await growth.watch().wait(0)


async def test_many_steps_are_one_report():
    growth = Growth(dict)
    watch = growth.watch()
    for _ in range(5):
        growth.grew([FRAMES])
    assert [await watch.wait(0), await watch.wait(0)] == [True, False]


async def test_watches_do_not_disturb_each_other():
    growth = Growth(dict)
    one, two = growth.watch(), growth.watch()
    growth.grew([FRAMES])
    assert await one.wait(0)
    assert await two.wait(0)


async def test_a_cancelled_wait_loses_nothing():
    growth = Growth(dict)
    watch = growth.watch()
    wait = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    wait.cancel()
    growth.grew([FRAMES])
    assert await watch.wait(0)


async def test_a_watch_over_streams_sleeps_through_what_does_not_concern_it():
    growth = Growth(dict)
    watch = growth.watch(streams_of(["outcomes"], [0, 1]))
    growth.grew([("accepted.normal", 0), ("outcomes", 2)])
    assert not await watch.wait(0)
    waiting = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    growth.grew([("outcomes", 1)])
    assert await asyncio.wait_for(waiting, 1)
    assert not await watch.wait(0)


async def test_a_look_finds_what_nobody_told_of():
    heads = {("outcomes", 0): 1, ("accepted.normal", 0): 1}
    growth = Growth(lambda: dict(heads))
    mine, other = growth.watch(streams_of(["outcomes"], [0])), growth.watch(streams_of(["accepted.normal"], [0]))
    timers = growth.watch(streams_of([TIMERS], [3]))
    heads["outcomes", 0] = 2
    heads[TIMERS, 0] = 1
    growth.look()
    assert [await one.wait(0) for one in (mine, other, timers)] == [True, False, True]
    growth.look()
    assert not await mine.wait(0)


async def test_a_marker_is_watched_whatever_the_partitions():
    growth = Growth(dict)
    watch = growth.watch(streams_of(["accepted.normal", CANCELLATIONS], [1]))
    growth.grew([(CANCELLATIONS, 0)])
    assert await watch.wait(0)


def test_what_is_of_interest_is_partitions_and_markers_of_the_watches_that_live():
    growth = Growth(dict)
    watches = [
        growth.watch(streams_of(["accepted.normal", "outcomes"], [1, 2])),
        growth.watch(streams_of([TIMERS], [0])),
    ]
    assert growth.interests() == {1, 2, TIMERS}
    watches.pop(0)
    assert growth.interests() == {TIMERS}
    watches.append(growth.watch())
    assert growth.interests() is None


async def test_who_waits_for_news_is_woken_by_the_stop():
    growth, stop = Growth(dict), asyncio.Event()
    watch = growth.watch()
    async with woken_by(stop, watch.wake):
        waiting = asyncio.ensure_future(watch.wait(10_000))
        await asyncio.sleep(0)
        stop.set()
        assert await asyncio.wait_for(waiting, 1)
