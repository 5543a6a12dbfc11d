"""A carrier that repeats frames changes nothing of what is delivered, also where a worker dies in between."""

from functools import partial

import pytest

from clarion.domain.channel import Channel, Lane
from clarion.domain.delivery_state import State
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AttemptedFrame
from clarion.journal.repeats import without_repeats
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.stores.memory.journal import MemoryJournal
from tests.look import Glance
from tests.stages.holder import Holder
from tests.stages.virtual import run
from tests.stages.world import GROUP, World, address

TO = [address("accepted", n) for n in range(5)]
TOPIC = topics.deliver(Channel.SMS, Lane.NORMAL)


def planned(directory) -> list[Frame]:
    """Return the frames of one delivery each."""

    async def scenario(world: World) -> None:
        for to in TO:
            await world.accept(to)
            await world.plan()

    world = World(directory)
    run(scenario(world))
    frames = Glance(world.journal).read(TOPIC, 0, 0)
    assert len(frames) == len(TO)
    return [Frame(TOPIC, 0, one.count, one.payload) for one in frames]


def repeating(directory) -> World:
    world = World(directory, journal=partial(MemoryJournal, repeats=3))  # type: ignore[arg-type]
    assert world.journal.streams_traits.repeats
    return world


def submitted(*holders: Holder) -> list[str]:
    return [to for holder in holders for to in holder.submitted]


def test_each_frame_is_delivered_once(directory):
    async def scenario(world: World) -> None:
        holder = await Holder(world).start()
        for frame in planned_frames:
            await world.journal.commit(StageResult(frames=[frame]))
            await holder.settled()
        assert holder.submitted == TO
        position = Glance(world.journal).committed(GROUP, 0)[TOPIC]
        assert position.offset == Glance(world.journal).head(TOPIC, 0) > len(TO), "repeats are skipped, not waited for"
        assert list(position.numbers.values()) == [len(TO)]
        await holder.crash()

    planned_frames = planned(directory)
    world = repeating(directory)
    run(scenario(world))
    assert world.states() == dict.fromkeys(TO, State.SENT)


@pytest.mark.parametrize("window", [1, 64])
def test_a_successor_repeats_no_finished_frame(directory, window):
    """The first holder dies with its second delivery unfinished; what it sent before must not be sent again."""

    async def scenario(world: World) -> None:
        await world.journal.commit(StageResult(frames=planned_frames))
        first = await Holder(world, passes=lambda row: row.address != TO[1], window=window).start()
        await first.settled()
        await first.crash()
        numbers = Glance(world.journal).committed(GROUP, 0)[TOPIC].numbers
        assert list(numbers.values()) == [1], "numbers never pass an unfinished frame"
        second = await Holder(world, window=window).start()
        await second.settled()
        await second.crash()
        sent = submitted(first, second)
        assert sorted(sent) == sorted([*TO, TO[1]]), "only lost attempts are repeated"
        third = await Holder(world).start()
        await third.settled()
        assert third.submitted == []
        await third.crash()

    planned_frames = planned(directory)
    world = repeating(directory)
    run(scenario(world))
    records, _ = without_repeats(Glance(world.journal).read(topics.OUTCOMES, 0, 0, 1_000), {})
    results = [event for one in records if isinstance(event := decode(one.payload), AttemptedFrame)]
    rows = [row for frame in results for row in zip(frame.addresses, frame.events, strict=True)]
    assert sorted(rows) == sorted([(to, "accepted") for to in TO] + [(TO[1], "ambiguous")])
