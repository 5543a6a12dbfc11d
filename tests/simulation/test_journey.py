"""Seeded journeys: real planning, delivery and record over a journal, while the workers die and freeze at random.

The oracle: every delivery ends in exactly one terminal state, no attempt reaches the vendor twice, and each
message accepted twice is explained by an attempt that was recorded as lost.
"""

import asyncio
from collections import Counter
from random import Random

import pytest

from clarion.deliver import worker as pool_worker
from clarion.domain.delivery_state import TERMINAL, Event
from clarion.domain.ids import DELIVERY_PREFIX, write
from clarion.journal.events import AttemptedFrame, PlannedFrame
from clarion.wait.worker import TimerWorker
from tests.simulation.processes import Process
from tests.stages.virtual import run, until
from tests.stages.world import SCRIPTS, World, address

SEEDS = 200
NOTIFICATIONS = 12

UNSENT = (Event.PARKED, Event.CANCELLED)
"""Ends of turns without a call."""


class Journey:
    """One run with one seed."""

    def __init__(self, directory, seed: int) -> None:
        self.chance = Random(seed)
        self.world = World(directory, seed=seed, partitions=2)
        self.expected: set[str] = set()
        self.started = 0
        self.pace_s = self.chance.choice([0.02, 0.4])
        self.hands_over = seed % 4 != 0
        self.processes: list[Process] = []

    async def run(self) -> None:
        stop = asyncio.Event()
        timers = TimerWorker(
            self.world.journal, self.world.journal, self.world.clock, self.world.notes, retention_ms=10**9
        )
        waiting = asyncio.create_task(timers.run(stop))
        workers = [self.start(0), self.start(1)]
        feeding = asyncio.create_task(self.feed())
        for _ in range(self.chance.randrange(1, 12)):
            await self.disturb(workers)
        await feeding
        await until(self.is_over)
        for worker in workers:
            assert worker.failure is None, worker.failure
            await worker.drain()
        stop.set()
        await waiting

    def start(self, index: int) -> Process:
        self.started += 1
        # A supervisor starts a worker again under its old name; another machine's has a new one.
        owner = f"worker-{index}" if self.chance.random() < 0.6 else f"worker-{index}-{self.started}"
        process = Process(self.world, index, owner, hands_over=self.hands_over)
        self.processes.append(process)
        return process

    async def feed(self) -> None:
        words = sorted(SCRIPTS)
        for number in range(NOTIFICATIONS):
            to = [address(self.chance.choice(words), number * 10 + n) for n in range(self.chance.randrange(1, 4))]
            self.expected.update(to)
            now_ms = self.world.clock.now_ms()
            await self.world.accept(
                *to,
                send_at_ms=now_ms + self.chance.choice([100, 900]) if self.chance.random() < 0.2 else None,
                expires_ms=now_ms + self.chance.choice([300, 3_000]) if self.chance.random() < 0.2 else None,
                ordering_key="k" if len(to) == 1 and self.chance.random() < 0.3 else None,
            )
            await asyncio.sleep(self.chance.random() * self.pace_s)

    async def disturb(self, workers: list[Process]) -> None:
        # Mostly in bursts: a second death while recovery from the first is under way is where recovery fails.
        await asyncio.sleep(self.chance.choice([0.1, 0.4, 1.0]) * self.chance.random())
        for _ in range(self.chance.randrange(40)):
            await asyncio.sleep(0)
        index = self.chance.randrange(2)
        if self.chance.random() < 0.3:
            await workers[index].freeze(self.chance.random() * 4)
            return
        await workers[index].kill()
        workers[index] = self.start(index)

    def is_over(self) -> bool:
        states = self.world.states()
        return states.keys() >= self.expected and all(state in TERMINAL for state in states.values())


def check(journey: Journey) -> None:
    world = journey.world
    assert {row.address for row in world.ledger.rows.values()} == journey.expected
    planned = [id_ for frame in world.events() if isinstance(frame, PlannedFrame) for id_ in frame.delivery_ids]
    assert len(planned) == len(set(planned)) == len(journey.expected)
    turns: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    ends: Counter[tuple[bytes, int]] = Counter()
    for frame in world.events():
        if isinstance(frame, AttemptedFrame):
            ends.update(zip(frame.delivery_ids, frame.attempts, strict=True))
            turns.update(to for to, event in zip(frame.addresses, frame.events, strict=True) if event not in UNSENT)
            for id_, event, retry_ms in zip(frame.delivery_ids, frame.events, frame.retry_ms, strict=True):
                if event == Event.AMBIGUOUS and retry_ms is None:
                    lost[write(DELIVERY_PREFIX, id_)] += 1
    assert max(ends.values()) == 1, "an attempt ended twice"
    calls = Counter(to for to, _ in world.vendor.calls)
    assert not [to for to, times in calls.items() if times > turns[to]], "a vendor call is not recorded"
    for id_, times in Counter(id_ for id_, _ in world.vendor.accepted).items():
        assert times <= 1 + lost[id_], f"{id_}: accepted {times} times, {lost[id_]} lost"


@pytest.mark.slow
@pytest.mark.parametrize("block", [0, *(pytest.param(block, marks=pytest.mark.nightly) for block in (1, 2, 3))])
def test_every_delivery_ends_once_under_random_kills(directory, block, monkeypatch):
    monkeypatch.setattr(pool_worker, "CHECK_MS", 100)
    handed_over = 0
    for seed in range(block * SEEDS // 4, (block + 1) * SEEDS // 4):
        journey = Journey(directory, seed)
        try:
            run(journey.run())
            check(journey)
            handed_over += sum(process.wire.handed_over for process in journey.processes)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert handed_over > SEEDS // 4, "too few deliveries were handed over"
