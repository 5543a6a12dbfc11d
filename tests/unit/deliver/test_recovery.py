"""Recovery of a partition by a new holder: nothing is sent twice without a record, nothing is forgotten."""

import asyncio
from collections.abc import Sequence
from zlib import crc32

import pytest

from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.errors import StaleLease, UnknownFrame
from clarion.domain.limits_delivery import LOST_STARTS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import IntentFrame
from clarion.ports.stage_store import GroupProgress, IntentEntry, IntentWrite, StageResult
from clarion.ports.streams import Frame, StoredFrame, StreamOffset
from tests.look import Glance
from tests.stages.holder import Holder, attempted
from tests.stages.virtual import run, until
from tests.stages.world import GROUP, WatchedSandbox, World, address

A, B, C = (address("accepted", n) for n in range(3))


def test_intended_attempts_are_recorded_as_lost_and_followed_by_another(directory):
    async def scenario(world: World) -> None:
        await world.accept(A, B)
        await world.plan()
        first = await Holder(world, passes=lambda row: row.address == A).start()
        await first.settled()
        await first.crash()
        await (second := await Holder(world).start()).settled()
        assert second.submitted == [B], "an attempt with a result is not repeated"
        await second.crash()

    world = World(directory)
    run(scenario(world))
    assert attempted(world) == {(A, 1, "accepted"): 1, (B, 1, "ambiguous"): 1, (B, 2, "accepted"): 1}
    assert world.states() == {A: State.SENT, B: State.SENT}
    assert Glance(world.journal).committed(GROUP, 0)[topics.deliver(Channel.SMS, Lane.NORMAL)].offset == 1


def test_a_third_holder_still_sees_what_the_first_recorded(directory):
    """The second holder commits other frames meanwhile: its mark must not hide the first one's records."""

    async def scenario(world: World) -> None:
        await world.accept(A, B)
        await world.plan()
        first = await Holder(world, passes=lambda row: row.address == A).start()
        await first.settled()
        await first.crash()
        second = await Holder(world, passes=lambda row: row.address == C).start()
        await second.settled()
        await world.accept(C, lane=Lane.HIGH)
        await world.plan()
        await second.settled()
        await second.crash()
        await (third := await Holder(world).start()).settled()
        assert third.submitted == [B]
        await third.crash()

    world = World(directory)
    run(scenario(world))
    lost = {(B, 1, "ambiguous"): 1, (B, 2, "ambiguous"): 1}
    assert attempted(world) == {(A, 1, "accepted"): 1, (C, 1, "accepted"): 1, **lost, (B, 3, "accepted"): 1}


def test_frames_inherited_but_not_read_yet_hold_the_mark_back(directory):
    """A narrow race: the second holder commits and dies before it has read all that the first had sent."""

    async def scenario(world: World) -> None:
        for to in (A, B, C):
            await world.accept(to)
            await world.plan()
        first = await Holder(world, passes=lambda row: row.address in (B, C)).start()
        await first.settled()
        await first.crash()
        second = await Holder(world, window=1).start()
        await until(lambda: (A, 2, "accepted") in attempted(world), every_s=0.001)
        await second.crash()
        third = await Holder(world).start()
        await third.settled()
        assert third.submitted == []
        await third.crash()

    world = World(directory)
    run(scenario(world))
    lost = {(A, 1, "ambiguous"): 1, (A, 2, "accepted"): 1}
    assert attempted(world) == {**lost, (B, 1, "accepted"): 1, (C, 1, "accepted"): 1}


def test_a_loss_recorded_once_is_not_recorded_again(directory):
    async def scenario(world: World) -> None:
        await world.accept(A)
        await world.plan()
        for _ in range(3):
            holder = await Holder(world, passes=lambda row: False).start()
            await holder.settled()
            await holder.crash()

    world = World(directory)
    run(scenario(world))
    assert attempted(world) == {(A, 1, "ambiguous"): 1, (A, 2, "ambiguous"): 1}


def test_a_vendor_that_must_not_repeat_stops_at_a_loss(directory):
    async def scenario(world: World) -> None:
        await world.accept(A)
        await world.plan()
        await (first := await Holder(world, passes=lambda row: False).start()).settled()
        await first.crash()
        await (second := await Holder(world).start()).settled()
        assert second.submitted == []
        await second.crash()

    world = World(directory, vendor=WatchedSandbox(on_ambiguous="stop"))
    run(scenario(world))
    assert world.states() == {A: State.DEAD}
    (row,) = world.ledger.rows.values()
    assert row.reason == Reason.AMBIGUOUS_STOP


def test_a_message_that_kills_its_worker_is_parked(directory):
    limit = LOST_STARTS_MAX

    async def scenario(world: World) -> None:
        await world.accept(A)
        await world.plan()
        for _ in range(limit + 3):
            await (holder := await Holder(world, passes=lambda row: False).start()).settled()
            await holder.crash()

    world = World(directory)
    run(scenario(world))
    assert world.states() == {A: State.DEAD}
    (row,) = world.ledger.rows.values()
    assert (row.reason, row.attempt) == (Reason.POISON, limit)


def test_a_delivery_that_expired_while_its_worker_was_dead_is_not_sent(directory):
    async def scenario(world: World) -> None:
        await world.accept(A, expires_ms=world.clock.now_ms() + 5_000)
        await world.plan()
        await (first := await Holder(world, passes=lambda row: False).start()).settled()
        await first.crash()
        await asyncio.sleep(10)
        await (second := await Holder(world).start()).settled()
        assert second.submitted == []
        await second.crash()

    world = World(directory)
    run(scenario(world))
    assert world.states() == {A: State.EXPIRED}
    assert attempted(world)[A, 1, Event.AMBIGUOUS] == 1


def test_a_zombie_stores_nothing(directory):
    async def scenario(world: World) -> None:
        await world.accept(A, B)
        await world.plan()
        zombie = await Holder(world, passes=lambda row: False).start()
        await zombie.settled()
        await (successor := await Holder(world).start()).settled()
        before = len(world.events())
        await world.accept(C)
        await world.plan()
        await zombie.settled()
        failure = zombie.task.exception()
        assert isinstance(failure, ExceptionGroup)
        assert failure.subgroup(StaleLease) is not None
        assert zombie.submitted == [A, B]
        assert len(world.events()) == before + 3  # planned, intended and attempted by the successor
        await successor.crash()

    world = World(directory)
    run(scenario(world))
    assert world.states() == {A: State.SENT, B: State.SENT, C: State.SENT}


def test_a_damaged_frame_is_skipped_and_reported(directory):
    async def scenario(world: World) -> None:
        topic = topics.deliver(Channel.SMS, Lane.NORMAL)
        await world.journal.commit(StageResult(frames=[Frame(topic, 0, 1, b"CF\x01 damaged frame")]))
        await world.accept(A)
        await world.plan()
        await (holder := await Holder(world).start()).settled()
        await holder.crash()

    world = World(directory)
    run(scenario(world))
    assert world.states() == {A: State.SENT}
    assert world.notes.lines.count("frame_quarantined") == 1


def test_recovery_asks_the_store_and_reads_no_outcomes(directory):
    async def scenario(world: World) -> None:
        await world.accept(A, B)
        await world.plan()
        await (first := await Holder(world, passes=lambda row: row.address == A).start()).settled()
        await first.crash()
        assert await world.journal.open_intents(GROUP, 0)
        read, world.journal.read_since = world.journal.read_many, None  # type: ignore[method-assign]

        async def own(places: Sequence[StreamOffset], limit_frames: int) -> list[list[StoredFrame]]:
            assert all(place.topic != topics.OUTCOMES for place in places)
            return await read(places, limit_frames)

        world.journal.read_many = own  # type: ignore[method-assign]
        await (second := await Holder(world).start()).settled()
        assert second.submitted == [B]
        await second.crash()
        world.journal.read_many = read  # type: ignore[method-assign]
        assert await world.journal.open_intents(GROUP, 0) == [], "nothing is open once all is committed"

    world = World(directory)
    run(scenario(world))
    assert world.states() == {A: State.SENT, B: State.SENT}


def of_another_build(payload: bytes, at: int) -> bytes:
    """Return a whole frame whose version (at 2) or kind (at 3) this build does not know."""
    head, body = bytearray(payload[:8]), payload[12:]
    head[at] = 200
    return bytes(head) + crc32(body, crc32(head)).to_bytes(4, "big") + body


def foreign(topic: str, partition: int, at: int = 3) -> StageResult:
    payload = of_another_build(encode(IntentFrame("w", 1, 0, "sms", None, 0, [], []), 0), at)
    return StageResult(frames=[Frame(topic, partition, 1, payload)])


@pytest.mark.parametrize("at", [2, 3], ids=["version", "kind"])
def test_a_frame_of_another_build_is_not_skipped_and_earlier_frames_are_finished(directory, at):
    async def scenario(world: World) -> None:
        topic = topics.deliver(Channel.SMS, Lane.NORMAL)
        await world.accept(A)
        await world.plan()
        await world.journal.commit(foreign(topic, 0, at))
        await world.accept(B)
        await world.plan()
        holder = await Holder(world).start()
        await asyncio.wait([holder.task])
        with pytest.raises(UnknownFrame, match=f"{topic} at offset 2: the frame is whole"):
            await holder.task
        assert Glance(world.journal).committed(GROUP, 0)[topic].offset == 1
        assert "frame_quarantined" not in world.notes.lines

    world = World(directory)
    run(scenario(world))
    assert world.states() == {A: State.SENT, B: State.PLANNED}


def test_open_intents_of_another_build_stop_recovery(directory):
    async def scenario(world: World) -> None:
        await world.accept(A)
        await world.plan()
        lease = await world.journal.acquire(GROUP, 0, "another build", 100)
        entries = [IntentEntry(1, b"\x91\xa3odd")]
        await world.journal.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(lease, entries)])))
        await world.journal.release([lease])
        holder = await Holder(world).start()
        await asyncio.wait([holder.task])
        assert isinstance(holder.task.exception(), UnknownFrame)
        assert holder.submitted == []

    run(scenario(World(directory)))


def test_only_the_partition_of_such_a_frame_stops_and_logs_it_once(directory):
    async def scenario(world: World) -> None:
        await world.journal.commit(foreign(topics.deliver(Channel.SMS, Lane.NORMAL), 1))
        await world.accept(A)
        await world.accept(B)
        await world.plan()
        pool = await world.pool()
        await asyncio.sleep(5)
        await pool.drain()

    world = World(directory, partitions=2)
    run(scenario(world))
    assert sorted(world.states().values()) == [State.PLANNED, State.SENT]
    assert world.notes.lines.count("partition_stopped") == 1


def test_an_end_without_an_intent_is_recorded_once_although_an_older_frame_holds_the_commit(directory):
    async def scenario(world: World) -> None:
        await world.accept(B)
        await world.plan()
        await world.accept(A, expires_ms=world.clock.now_ms() + 5_000)
        await world.plan()
        for _ in range(3):
            holder = await Holder(world, passes=lambda row: False).start()
            await holder.settled()
            await holder.crash()
            await asyncio.sleep(10)

    world = World(directory)
    run(scenario(world))
    assert [times for (to, _, _), times in attempted(world).items() if to == A] == [1, 1]
    assert world.states()[A] is State.EXPIRED
