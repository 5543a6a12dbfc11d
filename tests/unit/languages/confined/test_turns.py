"""Places are given to tenants in turn, are never lost, and the number of waiters is bounded."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import Overloaded
from clarion.languages.confined.turns import Turns
from clarion.testing.loop import run


def turns(places=1, waiting_max=100, waiting_per_tenant_max=100):
    return Turns(places, waiting_max=waiting_max, waiting_per_tenant_max=waiting_per_tenant_max)


async def served(of, wanted):
    """Return the order in which callers that want a place at the same time get one."""
    order = []

    async def want(name):
        async with of.place(name[0]):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(want(name) for name in wanted))
    return order


async def test_a_tenant_with_much_work_waits_for_the_others():
    assert await served(turns(), ["a1", "a2", "a3", "a4", "b1", "c1", "b2"]) == [
        "a1",
        "a2",
        "b1",
        "c1",
        "a3",
        "b2",
        "a4",
    ]


async def test_a_free_place_is_taken_at_once():
    of = turns(places=2)
    async with of.place("a"), of.place("a"):
        pass
    async with of.place("b"):
        pass


@pytest.mark.parametrize(("bounds", "refused"), [((2, 100), "b"), ((100, 2), "a")])
async def test_more_than_may_wait_are_refused(bounds, refused):
    of = turns(waiting_max=bounds[0], waiting_per_tenant_max=bounds[1])
    async with of.place("a"):
        waiting = [asyncio.create_task(served(of, [f"a{n}"])) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await served(of, [refused])
    assert await asyncio.gather(*waiting) == [["a0"], ["a1"]]
    assert await served(of, [refused]) == [refused]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 5) | st.none())), st.integers(1, 3))
def test_no_place_is_lost_or_given_twice(wanted, places):
    """Whenever callers arrive, hold and are cancelled: places are never held twice, and in the end all are free."""

    async def scenario():
        of, holding = turns(places), 0

        async def want(tenant, hold_s):
            nonlocal holding
            async with of.place(tenant):
                holding += 1
                assert holding <= places
                try:
                    await asyncio.sleep(hold_s)
                finally:
                    holding -= 1

        async def cancel(task, after_s):
            await asyncio.sleep(after_s)
            task.cancel()

        tasks = [asyncio.create_task(want(tenant, hold_s)) for tenant, hold_s, _ in wanted]
        ends = [cancel(task, at_s) for task, (_, _, at_s) in zip(tasks, wanted, strict=True) if at_s is not None]
        await asyncio.gather(*ends, *tasks, return_exceptions=True)
        assert not [task for task in tasks if not task.cancelled() and task.exception()]
        async with asyncio.timeout(1):
            for _ in range(places):
                await of.place("z").__aenter__()

    run(scenario())
