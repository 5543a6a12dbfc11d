"""Delivering never blocks the event loop for long: the number prepared, handed over and recorded at once is bounded."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from clarion.deliver.partition import worker
from clarion.deliver.partition.worker_backlog import TURN_DELIVERIES
from clarion.deliver.worker import ChannelPool
from clarion.domain.channel import Channel, Lane
from clarion.journal import topics
from clarion.journal.events import AttemptedFrame, DeliverFrame, IntentFrame
from clarion.journal.rows import deliver_rows, encode_delivery
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.stores.memory.journal import MemoryJournal
from tests.stages.holder import Holder
from tests.stages.virtual import run, until
from tests.stages.world import World, address

TOPIC = topics.deliver(Channel.SMS, Lane.NORMAL)


async def backlog(world: World, number: int) -> None:
    """Plan one delivery, and make `number` of it, each in a frame of its own."""
    await world.accept(address("accepted"))
    await world.plan()
    row = next(deliver_rows(next(one for one in world.events(TOPIC) if isinstance(one, DeliverFrame))))
    rows = [row._replace(delivery_id=n.to_bytes(16, "big") + row.delivery_id[16:]) for n in range(1, number)]
    await world.journal.commit(StageResult(frames=[Frame(TOPIC, 0, 1, encode_delivery(one)) for one in rows]))


def test_thousands_that_wait_are_prepared_in_turns(directory, monkeypatch):
    monkeypatch.setattr("clarion.deliver.partition.worker_backlog.FRAMES_AHEAD_MAX", 2_000)
    number = 2 * TURN_DELIVERIES + 10

    async def scenario() -> None:
        await backlog(world, number)
        holder = await Holder(world, lambda row: False, window=2_000).start()
        await until(lambda: len(holder.submitted) == number)
        await holder.crash()

    world = World(directory)
    run(scenario())
    sizes = [len(one.delivery_ids) for one in world.events() if isinstance(one, IntentFrame)]
    assert sizes == [TURN_DELIVERIES, TURN_DELIVERIES, 10]


def test_deliveries_are_handed_to_senders_a_few_at_a_time(directory):
    turns: list[int] = []

    async def scenario() -> None:
        loop, open_turn = asyncio.get_running_loop(), [False]

        def submit(_consumer: Any, _work: Any) -> None:
            if not open_turn[0]:
                open_turn[0] = True
                turns.append(0)
                loop.call_soon(open_turn.__setitem__, 0, False)
            turns[-1] += 1

        await backlog(world, 150)
        lease = await world.journal.acquire(topics.group_deliver(Channel.SMS), 0, "worker-0", 10_000)
        assert lease is not None
        consumer = worker.PartitionConsumer(world.tools(window=1_000), lease, submit)
        running = asyncio.create_task(consumer.run(asyncio.Event()))
        await until(lambda: sum(turns) == 150)
        running.cancel()

    world = World(directory)
    run(scenario())
    assert max(turns) <= worker.SUBMIT_BATCH


def test_deliveries_that_end_at_once_are_recorded_in_several_commits(directory, monkeypatch):
    monkeypatch.setattr(worker, "RESULTS_PER_COMMIT", 10)

    async def scenario() -> None:
        await backlog(world, 64)
        holder = await Holder(world, window=100).start()
        await holder.settled()
        await holder.crash()

    world = World(directory)
    run(scenario())
    sizes = [len(one.delivery_ids) for one in world.events() if isinstance(one, AttemptedFrame)]
    assert sum(sizes) == 64
    assert max(sizes) <= 10


def test_results_during_a_commit_wait_for_the_next_linger(directory):
    linger_ms, commit_ms, number = 20, 5, 200

    class Slow(MemoryJournal):
        async def commit(self, batch: StageResult) -> Any:
            await asyncio.sleep(commit_ms / 1000)
            return await super().commit(batch)

    async def scenario() -> None:
        await backlog(world, number)
        sends = asyncio.Queue[tuple[Any, Any]]()
        lease = await world.journal.acquire(topics.group_deliver(Channel.SMS), 0, "worker-0", 10_000)
        assert lease is not None
        context = world.tools(window=1_000, linger_ms=linger_ms)
        consumer = worker.PartitionConsumer(context, lease, lambda *one: sends.put_nowait(one))
        stop = asyncio.Event()
        running = asyncio.create_task(consumer.run(stop))
        under_way = []
        for _ in range(number):
            holder, work = await sends.get()
            under_way.append(asyncio.create_task(holder.send(work)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*under_way)
        stop.set()
        await running

    world = World(directory, journal=Slow)
    run(scenario())
    sizes = [len(one.delivery_ids) for one in world.events() if isinstance(one, AttemptedFrame)]
    assert sum(sizes) == number
    assert len(sizes) <= number // linger_ms + 2


@pytest.mark.parametrize(("channel", "lets_go"), [(Channel.INAPP, True), (Channel.SMS, False)])
def test_a_sender_that_never_waits_yields_to_others(directory, channel, lets_go):
    """Only the inbox is such a channel; the other channels wait for their providers."""
    sent: list[int] = []

    class Consumer:
        async def send(self, work: Any) -> None:
            sent.append(work.number)

    async def scenario() -> int:
        world = World(directory)
        pool = ChannelPool(world.tools(channel), world.leases("none"), concurrency=100)
        for number in range(20):
            work = SimpleNamespace(number=number, row=SimpleNamespace(tenant="acme"), account=None, lane=Lane.NORMAL)
            pool._queue.put(Consumer(), work)  # type: ignore[arg-type]
        sender = asyncio.create_task(pool._serve())
        await asyncio.sleep(0)
        after_one_turn = len(sent)
        await until(lambda: len(sent) == 20)
        sender.cancel()
        return after_one_turn

    assert (run(scenario()) == 1) == lets_go
