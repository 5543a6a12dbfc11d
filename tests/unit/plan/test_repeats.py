"""A carrier that repeats frames changes nothing of what is planned: caps count once, digests hold each member once."""

from functools import partial

import pytest

from clarion.domain.channel import LANES
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import Event, PlannedFrame, Recipient
from clarion.journal.repeats import without_repeats
from clarion.journal.rows import deliver_rows
from clarion.stores.memory.journal import MemoryJournal
from tests.look import Glance
from tests.stages.virtual import run
from tests.unit.plan.deciding import HOUR_MS, SMS, TimedWorld

DAY = Recipient("day")


def events(world: TimedWorld, topic: str) -> list[Event]:
    """Return the events on a topic, each frame once."""
    new, _ = without_repeats(Glance(world.journal).read(topic, 0, 0, 100_000), {})
    return [decode(one.payload) for one in new]


def sent(world: TimedWorld) -> list[tuple[bytes, object]]:
    """Return the deliveries to send, with the members of a digest."""
    frames = [frame for lane in LANES for frame in events(world, topics.deliver(SMS, lane))]
    return [(row.delivery_id, row.data) for frame in frames for row in deliver_rows(frame)]  # type: ignore[arg-type]


def decided(world: TimedWorld) -> list[tuple[bytes, int]]:
    frames = [frame for frame in events(world, topics.OUTCOMES) if isinstance(frame, PlannedFrame)]
    return [pair for frame in frames for pair in zip(frame.delivery_ids, frame.reasons, strict=True)]


async def scenario(world: TimedWorld, category: str) -> None:
    """Plan in steps of few events, so that repeats are in the same step, in later ones, and at another planner."""
    for _ in range(4):
        await world.accept(DAY, category=category, channels=["sms"])
        await world.plan()
    await world.pass_time(HOUR_MS)
    await world.accept(DAY, category=category, channels=["sms"])
    await world.pass_time(12 * HOUR_MS)


@pytest.mark.parametrize("category", ["capped", "deferred", "digested"])
def test_repeated_frames_do_not_change_planning(people, category):
    once, again = TimedWorld(people), TimedWorld(people, journal=partial(MemoryJournal, repeats=3))  # type: ignore[arg-type]
    run(scenario(once, category))
    run(scenario(again, category))
    assert len(events(again, topics.accepted(LANES[2]))) < Glance(again.journal).head(topics.accepted(LANES[2]), 0)
    assert sent(again) == sent(once)
    assert decided(again) == decided(once)
    positions = Glance(again.journal).committed(topics.GROUP_PLAN, 0)
    assert all(list(position.numbers.values()) for position in positions.values())
    assert all(position.numbers == {} for position in Glance(once.journal).committed(topics.GROUP_PLAN, 0).values())
