"""The schedule of kills: roles and times, determined by a seed alone."""

import random
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

PAUSE_MS: Final = (50, 500)
VICTIMS: Final = {"worker": 6, "api": 3, "scheduler": 2, "supervisor": 1}
"""Roles and their weights: processes that send have most to lose."""
WORKING: Final = 0.7
"""Share of kills that wait for a victim at work; the other kills hit any process of the role, mostly ones still
starting."""
WRITE_MS_MAX: Final = 3.0
"""The time between a write and the kill: enough to commit the write and begin the next step."""


class Kill(msgspec.Struct, frozen=True):
    """After `pause_ms`, kill a process of this role; `pick` (0 to 1) chooses among several. When `working`, the victim
    must have run long enough to be at work. With `write_ms` it dies that long after its next write."""

    pause_ms: int
    role: str
    pick: float
    working: bool
    write_ms: float | None = None


def kills(
    seed: int, count: int, victims: Mapping[str, int] = VICTIMS, working: float = WORKING, writing: float = 0.0
) -> Iterator[Kill]:
    """Yield `count` kills, shares of which wait for a victim at work and for one that writes; the same seed yields the
    same kills."""
    chance = random.Random(seed)
    roles, weights = list(victims), list(victims.values())
    for _ in range(count):
        role = chance.choices(roles, weights)[0]
        kill = Kill(chance.randint(*PAUSE_MS), role, chance.random(), chance.random() < working)
        if writing and chance.random() < writing:
            kill = msgspec.structs.replace(kill, write_ms=chance.uniform(0, WRITE_MS_MAX))
        yield kill
