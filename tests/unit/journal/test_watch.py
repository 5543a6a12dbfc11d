"""Watches over one growth: nothing missed, nothing told twice, nobody left behind."""

import asyncio

from clarion.journal.watch import Growth, streams_of


async def test_growth_before_the_wait_ends_it_at_once():
    growth = Growth(dict)
    watch = growth.watch()
    growth.grew()
    assert await asyncio.wait_for(watch.wait(10_000), 1)


async def test_growth_before_the_watch_is_not_reported():
    growth = Growth(dict)
    growth.grew()
    assert not await growth.watch().wait(0)


async def test_many_steps_are_one_report():
    growth = Growth(dict)
    watch = growth.watch()
    for _ in range(5):
        growth.grew()
    assert [await watch.wait(0), await watch.wait(0)] == [True, False]


async def test_watches_do_not_disturb_each_other():
    growth = Growth(dict)
    one, two = growth.watch(), growth.watch()
    growth.grew()
    assert await one.wait(0)
    assert await two.wait(0)


async def test_a_cancelled_wait_loses_nothing():
    growth = Growth(dict)
    watch = growth.watch()
    wait = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    wait.cancel()
    growth.grew()
    assert await watch.wait(0)


async def test_a_watch_over_streams_sleeps_through_what_does_not_concern_it():
    heads: dict[tuple[str, int], int] = {}
    growth = Growth(lambda: dict(heads))
    watch = growth.watch(streams_of(["outcomes"], [0, 1]))
    heads["accepted.normal", 0] = 1
    growth.grew()
    assert not await watch.wait(0)
    waiting = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    heads["outcomes", 1] = 1
    growth.grew()
    assert await asyncio.wait_for(waiting, 1)
    assert not await watch.wait(0)
