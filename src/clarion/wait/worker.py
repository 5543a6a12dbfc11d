"""The scheduler's loop: fire what is due, sleep until the next timer or until someone sets an earlier one."""

import asyncio

from clarion.ports.clock import Clock
from clarion.ports.journal import Journal
from clarion.ports.telemetry import Telemetry

FIRE_BATCH = 1_000
WAIT_MS_MAX = 1_000
WAIT_MS_MIN = 5
TRIM_EVERY_MS = 60_000


class TimerWorker:
    """Puts due timers back on the journal and trims what is old; any number of these may run side by side."""

    def __init__(self, journal: Journal, clock: Clock, telemetry: Telemetry, *, retention_ms: int) -> None:
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._retention_ms = retention_ms
        self._trimmed_ms = clock.monotonic_ms()

    async def run(self, stop: asyncio.Event) -> None:
        """Fire timers until `stop` is set."""
        watch = self._journal.watch()
        while not stop.is_set():
            await self._trim()
            pause_ms = self._pause_ms()
            if pause_ms > 0:
                await watch.wait(max(pause_ms, WAIT_MS_MIN))
                continue
            self._telemetry.count("timers", await self._journal.fire(self._clock.now_ms(), FIRE_BATCH))

    def _pause_ms(self) -> int:
        """Return how long nothing will be due, as far as is known; looking costs a read, firing a commit."""
        due_ms = self._journal.next_due_ms()
        return WAIT_MS_MAX if due_ms is None else min(due_ms - self._clock.now_ms(), WAIT_MS_MAX)

    async def _trim(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._trimmed_ms < TRIM_EVERY_MS:
            return
        self._trimmed_ms = now_ms
        trimmed = await self._journal.trim(self._clock.now_ms() - self._retention_ms)
        if trimmed:
            self._telemetry.log("info", "journal_trimmed", frames=trimmed)
