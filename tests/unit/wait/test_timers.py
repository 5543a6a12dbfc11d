"""Timers: each fires once, late rather than never, and waiting for them costs nothing."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from clarion.ports.stage_store import StageResult, Timer
from clarion.ports.streams import Frame
from clarion.stores.memory.journal import MemoryJournal
from clarion.wait.rules.pause import PAUSE_MS_MAX
from clarion.wait.worker import TRIM_EVERY_MS, TimerWorker
from tests.look import Glance
from tests.stages.virtual import START_MS, LoopClock, run, until
from tests.stages.world import Notes


class CallCounter(MemoryJournal):
    """Counts the calls to fire and to trim."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock, 1)
        self.asked: Counter[str] = Counter()

    async def fire(self, now_ms: int, limit: int) -> int:
        self.asked["fire"] += 1
        return await super().fire(now_ms, limit)

    async def trim(self, older_than_ms: int) -> int:
        self.asked["trim"] += 1
        return await super().trim(older_than_ms)


class Scheduler:
    """A journal and one or more timer workers over it."""

    def __init__(self, workers: int = 1) -> None:
        self.clock = LoopClock()
        self.journal = CallCounter(self.clock)
        self._workers = workers
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "Scheduler":
        workers = [
            TimerWorker(self.journal, self.journal, self.clock, Notes(), retention_ms=1_000)
            for _ in range(self._workers)
        ]
        self._tasks = [asyncio.create_task(worker.run(self._stop)) for worker in workers]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def set(self, *due_ms: int) -> None:
        timers = [Timer(b"%d" % n, START_MS + due, "t", 0, b"%d" % n) for n, due in enumerate(due_ms)]
        await self.journal.commit(StageResult(timers=timers))

    def fired(self) -> dict[int, int]:
        """Return when each timer's frame came back, milliseconds after the start."""
        frames = Glance(self.journal).read("t", 0, 0, 10_000)
        assert len({one.payload for one in frames}) == len(frames), "each fires once"
        return {int(one.payload): one.appended_ms - START_MS for one in frames}


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=20), st.integers(1, 3))
def test_each_timer_fires_once_and_not_before_its_time(due_ms, workers):
    async def scenario() -> None:
        async with Scheduler(workers) as scheduler:
            await scheduler.set(*due_ms)
            await until(lambda: len(scheduler.fired()) == len(due_ms))
            for number, at_ms in scheduler.fired().items():
                assert due_ms[number] <= at_ms <= due_ms[number] + 20
            assert scheduler.journal.asked["fire"] <= workers * (len(due_ms) + 1)

    run(scenario())


def test_an_earlier_timer_set_meanwhile_fires_on_time():
    async def scenario() -> None:
        async with Scheduler() as scheduler:
            await scheduler.set(PAUSE_MS_MAX)
            await asyncio.sleep(0.1)
            await scheduler.journal.commit(StageResult(timers=[Timer(b"early", START_MS + 200, "t", 0, b"7")]))
            await until(lambda: len(scheduler.fired()) == 2)
            assert scheduler.fired()[7] <= 220

    run(scenario())


def test_the_same_timer_twice_is_one():
    async def scenario() -> None:
        async with Scheduler() as scheduler:
            await scheduler.set(100)
            await scheduler.set(100)
            await asyncio.sleep(5)
            assert scheduler.fired().keys() == {0}

    run(scenario())


def test_idling_makes_no_commit_and_other_appends_wake_it():
    async def scenario() -> None:
        async with Scheduler() as scheduler:
            for _ in range(50):
                await scheduler.journal.commit(StageResult(frames=[Frame("other", 0, 1, b"x")]))
                await asyncio.sleep(0.1)
            assert scheduler.journal.asked["fire"] == 0

    run(scenario())


def test_a_wall_clock_jump_delays_or_hastens_timers_but_loses_none():
    async def scenario() -> None:
        async with Scheduler() as scheduler:
            scheduler.clock.wall_ahead_ms = -3_600_000
            await scheduler.set(1_000)
            await asyncio.sleep(10)
            assert scheduler.fired() == {}
            scheduler.clock.wall_ahead_ms = 0
            await until(lambda: scheduler.fired().keys() == {0})

    run(scenario())


def test_old_frames_are_trimmed_about_once_a_minute():
    async def scenario() -> None:
        async with Scheduler() as scheduler:
            await asyncio.sleep(10 * TRIM_EVERY_MS / 1000 + 5)
            assert 9 <= scheduler.journal.asked["trim"] <= 10

    run(scenario())
