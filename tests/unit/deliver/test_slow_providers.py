"""A provider that does not answer: it delays its own deliveries, never those of other accounts."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.worker_queue import STUCK_MS, SendQueue
from clarion.domain.channel import LANES, Lane
from tests.stages.virtual import run, until
from tests.stages.world import World, address
from tests.unit.deliver.test_failover import Running, account, recorded_attempts


class Clock:
    time_ms = 0

    def monotonic_ms(self) -> int:
        return self.time_ms


def work(name: str, lane: Lane = Lane.NORMAL) -> Any:
    return SimpleNamespace(row=SimpleNamespace(tenant="acme"), account=SimpleNamespace(name=name), lane=lane)


def ready(queue: SendQueue) -> list[Any]:
    taken = []
    while not queue._ready.empty():
        taken.append(queue._ready.get_nowait())
    return taken


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(LANES)), max_size=60), st.integers(1, 5), st.data())
def test_no_account_has_more_under_way_than_its_share_and_all_get_their_turn(put, each, data):
    queue, under_way, done = SendQueue(each, Clock()), [], 0  # type: ignore[arg-type]
    for name, lane in put:
        queue.put(None, work(name, lane))  # type: ignore[arg-type]
    while True:
        under_way += ready(queue)
        counts = Counter(one.work.account.name for one in under_way)
        assert all(number <= each for number in counts.values())
        if not under_way:
            break
        queue.done(under_way.pop(data.draw(st.integers(0, len(under_way) - 1))))
        done += 1
    assert done == len(put)
    assert not queue._calls


def test_deliveries_behind_an_account_that_never_answers_are_handed_back():
    clock = Clock()
    queue = SendQueue(2, clock)  # type: ignore[arg-type]
    for _ in range(5):
        queue.put(None, work("hangs"))  # type: ignore[arg-type]
    queue.put(None, work("quick"))  # type: ignore[arg-type]
    first = ready(queue)
    assert [one.work.account.name for one in first] == ["hangs", "hangs", "quick"]
    clock.time_ms = STUCK_MS - 1
    assert queue.take_stuck() == []
    clock.time_ms = STUCK_MS
    assert len(queue.take_stuck()) == 3
    assert queue.take_stuck() == []
    for one in first:
        queue.done(one)
    assert ready(queue) == []


def test_other_accounts_deliver_while_one_hangs(directory):
    count = 300

    async def scenario(running: Running) -> None:
        async with running as world:
            for number in range(count):
                await world.accept(address("a", number))
            await world.plan()
            quick = lambda: sum(provider == "quick" for _, provider, *_ in recorded_attempts(world))  # noqa: E731
            await until(lambda: quick() > count // 3, limit_s=10)
            running.shop.sms = [account("quick", {}, version=2)]
            await until(lambda: all_sent(world, count), limit_s=300)

    running = Running(directory, account("hangs", {"latency_ms": 20_000}), account("quick", {}))
    run(scenario(running))
    calls = Counter(to for to, _ in running.world.vendor.calls)
    assert max(calls.values()) == 1, "a deferred delivery is not sent"


def all_sent(world: World, count: int) -> bool:
    states = world.states()
    return len(states) == count and all(state >= 10 for state in states.values())


def test_a_drain_still_ends(directory):
    async def scenario(running: Running) -> None:
        async with running as world:
            for number in range(100):
                await world.accept(address("a", number))
            await world.plan()
            await asyncio.sleep(0.5)

    run(scenario(Running(directory, account("slow", {"latency_ms": 3_000}))))
