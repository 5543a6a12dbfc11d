"""A long stream of the deliveries in `ledgers`, in random order, the same for the same seed."""

import random

from clarion.domain.delivery_state import Event, State
from clarion.ports.streams import StoredFrame
from tests.contract import ledgers as world
from tests.contract.inboxes import PEOPLE, broadcast, own, released

BATCH_FRAMES = 3
HELD = 3
"""Broadcasts whose deliveries are held at first."""


def story(seed: int, frames: int = 200) -> list[StoredFrame]:
    """Return about that many frames that follow the planning of all those deliveries."""
    chance = random.Random(seed)
    held = [chunk for number in range(HELD) for chunk in broadcast(number, PEOPLE, state=State.HELD)]
    made = [*(world.planned(n) for n in range(world.SINGLES)), world.chunk(), *held]
    events = sorted(set(Event) - {Event.INTENT, Event.REPLAYED})
    for number in range(frames):
        at_ms = world.AT_MS + 1000 * number
        person, attempt, first = (
            chance.randrange(world.PEOPLE),
            chance.randint(1, 4),
            chance.randrange(world.CHUNK_SIZE),
        )
        choices = (
            world.intent(person, attempt, at_ms),
            world.attempted(person, chance.choice(events), attempt, at_ms=at_ms),
            world.attempted(person, Event.EXHAUSTED, attempt, at_ms=at_ms),
            world.replayed(person, at_ms),
            world.chunk_intent(first, world.CHUNK_SIZE - first),
            world.chunk_attempted(first, bytes([chance.choice([0, 10])])),
            world.cancelled(person % world.SINGLES),
            world.seen(person % world.SINGLES, at_ms),
            own(number, f"user-{person}"),
            released(chance.choice(held), [chance.randint(1, PEOPLE) for _ in range(10)], at_ms),
        )
        made.append(chance.choice(choices))
    return world.stored(made)
