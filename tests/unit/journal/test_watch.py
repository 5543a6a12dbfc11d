"""Watches over one growth: nothing missed, nothing told twice, nobody left behind."""

import asyncio

from clarion.journal.watch import Growth


async def test_growth_before_the_wait_ends_it_at_once():
    growth = Growth()
    watch = growth.watch()
    growth.grew()
    assert await asyncio.wait_for(watch.wait(10_000), 1)


async def test_growth_before_the_watch_is_not_reported():
    growth = Growth()
    growth.grew()
    assert not await growth.watch().wait(0)


async def test_many_steps_are_one_report():
    growth = Growth()
    watch = growth.watch()
    for _ in range(5):
        growth.grew()
    assert [await watch.wait(0), await watch.wait(0)] == [True, False]


async def test_watches_do_not_disturb_each_other():
    growth = Growth()
    one, two = growth.watch(), growth.watch()
    growth.grew()
    assert await one.wait(0)
    assert await two.wait(0)


async def test_a_cancelled_wait_loses_nothing():
    growth = Growth()
    watch = growth.watch()
    wait = asyncio.ensure_future(watch.wait(10_000))
    await asyncio.sleep(0)
    wait.cancel()
    growth.grew()
    assert await watch.wait(0)
