"""The scheduler's loop: read when the next timer is due, decide how long to pause, and fire due timers.

Firing is a commit of the store, which puts each timer's frame on its stream. A pause ends early when an earlier timer
is set.
"""

import asyncio

from clarion.journal.topics import TIMERS
from clarion.ports.clock import Clock
from clarion.ports.stage_store import StageStore
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.runtime.store_wait import UNANSWERED, StoreWait
from clarion.runtime.watch import woken_by
from clarion.wait.rules.pause import pause_until

FIRE_BATCH = 1_000
WAIT_MS_MIN = 5
TRIM_EVERY_MS = 60_000


class TimerWorker:
    """Puts due timers back on the journal and trims old frames; any number of these may run concurrently."""

    def __init__(
        self, streams: Streams, store: StageStore, clock: Clock, telemetry: Telemetry, *, retention_ms: int
    ) -> None:
        self._streams = streams
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._retention_ms = retention_ms
        self._trimmed_ms = clock.monotonic_ms()

    async def run(self, stop: asyncio.Event) -> None:
        """Fire timers until `stop` is set."""
        watch = self._streams.watch([TIMERS])
        waits = StoreWait(self._telemetry, "timers")
        async with woken_by(stop, watch.wake):
            while not stop.is_set():
                try:
                    pause_ms = await self._fire()
                except UNANSWERED as error:
                    await waits.pause(error, stop)
                    continue
                waits.answered()
                if pause_ms > 0:
                    await watch.wait(max(pause_ms, WAIT_MS_MIN))

    async def _fire(self) -> int:
        """Fire timers that are due, or return how long none will be, in milliseconds."""
        await self._trim()
        pause_ms = pause_until(await self._store.next_due(), self._clock.now_ms())
        if pause_ms <= 0:
            self._telemetry.count("timers", await self._store.fire(self._clock.now_ms(), FIRE_BATCH))
        return pause_ms

    async def _trim(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._trimmed_ms < TRIM_EVERY_MS:
            return
        self._trimmed_ms = now_ms
        trimmed = await self._store.trim(self._clock.now_ms() - self._retention_ms)
        if trimmed:
            self._telemetry.log("info", "journal_trimmed", frames=trimmed)
