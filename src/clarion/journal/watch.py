"""Waiting for the journal to grow: a generation counter and the watches that compare with it.

A backend calls `grew` after an append became readable. A watch remembers the generation its last `wait` returned at, so
whatever becomes readable after that, even between a consumer's read and its next `wait`, ends that `wait` at once.
"""

import asyncio


class Growth:
    """The generation of one journal instance; used from the event loop's thread only."""

    def __init__(self) -> None:
        self.generation = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def grew(self) -> None:
        """Start a new generation and wake everyone who waits."""
        self.generation += 1
        for waiter in self._waiters:
            _resolve(waiter)
        self._waiters.clear()

    def watch(self) -> "GrowthWatch":
        """Return a watch that starts at the present generation."""
        return GrowthWatch(self)

    async def next(self, timeout_ms: int) -> None:
        """Return at the next generation or after the time-out."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.add(waiter)
        alarm = loop.call_later(timeout_ms / 1000, _resolve, waiter)
        try:
            await waiter
        finally:
            alarm.cancel()
            self._waiters.discard(waiter)


class GrowthWatch:
    """One consumer's view of a `Growth`; implements `ports.journal.Watch`."""

    def __init__(self, growth: Growth) -> None:
        self._growth = growth
        self._seen = growth.generation

    async def wait(self, timeout_ms: int) -> bool:
        """Wait until the journal grew since the last `wait` returned; False on time-out."""
        if self._growth.generation == self._seen:
            await self._growth.next(timeout_ms)
        grown = self._growth.generation != self._seen
        self._seen = self._growth.generation
        return grown


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
