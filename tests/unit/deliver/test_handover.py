"""Deliveries handed over within a process: planned and intended by one commit, sent once, recovered after a crash."""

import asyncio
from typing import Any

import pytest

from clarion.deliver.partition.worker_handover import Handovers
from clarion.domain.channel import Channel, Lane
from clarion.domain.delivery_state import State
from clarion.domain.errors import DurabilityError, StaleLease
from clarion.journal import topics
from clarion.journal.events import DeliverFrame
from clarion.journal.rows import deliver_rows, encode_delivery
from clarion.ports.stage_store import AcceptState, Cancellation, StageResult, StaleCaps
from clarion.ports.streams import Frame
from clarion.stores.memory.journal import MemoryJournal
from tests.look import Glance
from tests.stages.holder import Holder, attempted
from tests.stages.virtual import run, until
from tests.stages.world import GROUP, TENANT, World, address

A, B, C = (address("accepted", n) for n in range(3))
TOPIC = topics.deliver(Channel.SMS, Lane.NORMAL)


class HandoverRun:
    """A planner and a consumer of one process."""

    def __init__(self, world: World, **other: Any) -> None:
        self.world = world
        self.handovers = Handovers()
        self.holder = Holder(world, handovers=self.handovers, **other)
        self.planner = world.planner(handover=self.handovers)

    async def start(self) -> "HandoverRun":
        await self.holder.start()
        await asyncio.sleep(0.1)
        lease = await self.world.journal.acquire(topics.GROUP_PLAN, 0, "planner", 100_000)
        assert lease is not None
        self.lease = lease
        return self

    async def plan(self) -> None:
        assert await self.planner.step(0, self.lease)

    async def drain(self) -> None:
        self.holder.stop.set()
        await self.holder.task


class Commits(MemoryJournal):
    """Records commits, and may call a hook before the next planned delivery is stored."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.stored: list[StageResult] = []
        self.before: Any = None

    async def commit(self, result: StageResult) -> Any:
        if self.before is not None and any(frame.topic == TOPIC for frame in result.frames):
            before, self.before = self.before, None
            await before(result)
        done = await super().commit(result)
        self.stored.append(result)
        return done


def topics_of(result: StageResult) -> set[str]:
    return {frame.topic for frame in result.frames}


def offset_of(world: World) -> int:
    return Glance(world.journal).committed(GROUP, 0)[TOPIC].offset


def test_a_delivery_and_the_intent_of_its_first_attempt_are_stored_by_one_commit(directory):
    async def scenario() -> None:
        one = await HandoverRun(world).start()
        for to in (A, B):
            await world.accept(to)
            await one.plan()
            await one.holder.settled()
        await one.drain()

    world = World(directory, journal=Commits)
    run(scenario())
    together = [one for one in world.journal.stored if TOPIC in topics_of(one)]
    assert len(together) == 2
    assert all(one.progress.intents and one.progress.commits for one in together)
    assert attempted(world) == {(A, 1, "accepted"): 1, (B, 1, "accepted"): 1}
    assert world.states() == {A: State.SENT, B: State.SENT}
    assert offset_of(world) == 2


def test_deliveries_put_on_the_stream_meanwhile_are_tracked_first_and_all_are_sent_once(directory):
    async def scenario() -> None:
        one = await HandoverRun(world).start()
        await world.accept(A)
        await one.plan()
        await one.holder.settled()
        frame = next(event for event in world.events(TOPIC) if isinstance(event, DeliverFrame))
        row = next(deliver_rows(frame))
        other = row._replace(delivery_id=b"o" * 16 + row.delivery_id[16:], address=C)

        async def timer(_result: StageResult) -> None:
            await MemoryJournal.commit(world.journal, StageResult(frames=[Frame(TOPIC, 0, 1, encode_delivery(other))]))

        world.journal.before = timer
        await world.accept(B)
        await one.plan()
        await one.holder.settled()
        await one.drain()

    world = World(directory, journal=Commits)
    run(scenario())
    assert attempted(world) == {(to, 1, "accepted"): 1 for to in (A, B, C)}
    assert offset_of(world) == 3


@pytest.mark.parametrize("error", [StaleCaps(), DurabilityError("the disk is gone")])
def test_a_delivery_that_is_not_stored_is_not_sent_and_takes_no_room(directory, error):
    async def scenario() -> None:
        one = await HandoverRun(world, window=1).start()

        async def refused(_result: StageResult) -> None:
            assert one.holder.submitted == []
            raise error

        world.journal.before = refused
        await world.accept(A)
        if isinstance(error, DurabilityError):
            with pytest.raises(DurabilityError):
                await one.plan()
        await one.plan()
        await one.holder.settled()
        await one.drain()

    world = World(directory, journal=Commits)
    run(scenario())
    assert attempted(world) == {(A, 1, "accepted"): 1}
    assert offset_of(world) == 1


def test_a_lost_lease_of_the_sender_does_not_stop_planning(directory):
    async def scenario() -> None:
        one = await HandoverRun(world).start()

        async def stale(result: StageResult) -> None:
            assert result.progress.intents
            raise StaleLease("another holds it")

        world.journal.before = stale
        await world.accept(A)
        await one.plan()
        assert one.holder.submitted == []
        await one.holder.settled()
        await one.drain()

    world = World(directory, journal=Commits)
    run(scenario())
    assert attempted(world) == {(A, 1, "accepted"): 1}, "it is read from the stream later"


def test_after_a_crash_handed_over_deliveries_have_open_intents(directory):
    async def scenario() -> None:
        one = await HandoverRun(world, passes=lambda row: False).start()
        await world.accept(A, B)
        await one.plan()
        assert sorted(one.holder.submitted) == [A, B]
        await one.holder.crash()
        second = await Holder(world).start()
        await second.settled()
        await second.crash()

    world = World(directory, journal=Commits)
    run(scenario())
    lost = {(to, 1, "ambiguous"): 1 for to in (A, B)}
    assert attempted(world) == {**lost, **{(to, 2, "accepted"): 1 for to in (A, B)}}


def test_other_results_do_not_remove_open_intents_of_unread_handovers(directory):
    """Results that are recorded between the commit and the consumer's notice of it must not remove its open intents."""

    async def scenario() -> None:
        one = await HandoverRun(world, passes=lambda row: row.address == A).start()
        await world.accept(A)
        await one.plan()

        async def results_first(_result: StageResult) -> None:
            await asyncio.sleep(1)  # those of A are recorded meanwhile, and B is not yet tracked

        world.journal.before = results_first
        await world.accept(B)
        await one.plan()
        await one.holder.settled()
        await one.holder.crash()
        second = await Holder(world).start()
        await second.settled()
        await second.crash()

    world = World(directory, journal=Commits)
    run(scenario())
    assert attempted(world) == {(A, 1, "accepted"): 1, (B, 1, "ambiguous"): 1, (B, 2, "accepted"): 1}


def test_a_delivery_cancelled_before_the_commit_is_not_sent(directory):
    async def scenario() -> None:
        one = await HandoverRun(world).start()
        id_ = await world.accept(A)

        async def cancelled(_result: StageResult) -> None:
            entry = Cancellation(TENANT, id_, world.clock.now_ms())
            await MemoryJournal.commit(world.journal, StageResult(accept_state=AcceptState(cancellations=[entry])))

        world.journal.before = cancelled
        await one.plan()
        await one.holder.settled()
        await one.drain()

    world = World(directory, journal=Commits)
    run(scenario())
    assert world.states() == {A: State.CANCELLED}
    assert world.vendor.calls == []


def test_nothing_is_taken_while_the_window_has_no_room_or_something_waits_before_it(directory):
    async def scenario() -> None:
        one = await HandoverRun(world, passes=lambda row: False, window=2).start()
        for to in (A, B, C):
            await world.accept(to)
            await one.plan()
        assert await one.handovers.prepare_offers(0, [Frame(TOPIC, 0, 3, b"never looked at")]) == []
        await one.holder.crash()

    world = World(directory, journal=Commits)
    run(scenario())
    handed = [bool(one.progress.intents) for one in world.journal.stored if TOPIC in topics_of(one)]
    assert handed == [True, True, False]


def test_frames_of_other_partitions_and_topics_are_not_handed_over(directory):
    world = World(directory)

    async def scenario() -> None:
        one = await HandoverRun(world).start()
        frames = [Frame(TOPIC, 1, 1, b""), Frame(topics.OUTCOMES, 0, 1, b"")]
        assert await one.handovers.prepare_offers(0, frames) == []
        await one.drain()
        assert await one.handovers.prepare_offers(0, [Frame(TOPIC, 0, 1, b"")]) == [], (
            "a stopped consumer takes nothing"
        )

    run(scenario())


def test_a_pool_and_a_planner_of_one_process_work_together(directory):
    async def scenario() -> None:
        handovers = Handovers()
        pool = await world.pool(handovers=handovers)
        await asyncio.sleep(0.1)
        planner = world.planner(handover=handovers)
        lease = await world.journal.acquire(topics.GROUP_PLAN, 0, "planner", 100_000)
        for number in range(50):
            await world.accept(address("accepted", number))
            await planner.step(0, lease)
            await asyncio.sleep(0.01 * (number % 7))
        await until(lambda: sum(attempted(world).values()) == 50)
        await pool.drain()

    world = World(directory, journal=Commits)
    run(scenario())
    assert attempted(world) == {(address("accepted", number), 1, "accepted"): 1 for number in range(50)}
    handed = [one for one in world.journal.stored if TOPIC in topics_of(one) and one.progress.intents]
    assert len(handed) >= 25
