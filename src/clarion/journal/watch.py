"""Waiting for the journal to grow: a generation counter, the newest frame of each stream, and watches that compare.

A backend calls `grew` after an append became readable. A watch remembers what it had seen when its last `wait` returned,
so whatever becomes readable after that, even between a consumer's read and its next `wait`, ends that `wait` at once.
A watch over some streams sleeps through commits that do not concern it: with twenty consumers in a process, waking all
of them at each commit cost more than the work itself.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

Stream: TypeAlias = tuple[str, int]
"""Topic and partition."""
Heads: TypeAlias = Mapping[Stream, int]
"""A number per stream that changes whenever the stream grows."""


def streams_of(topics: Collection[str], partitions: Collection[int]) -> frozenset[Stream]:
    """Return the streams of these topics and partitions."""
    return frozenset((topic, partition) for topic in topics for partition in partitions)


class Growth:
    """How far one journal instance has grown; used from the event loop's thread only. `heads` reads where the streams
    are now."""

    def __init__(self, heads: Callable[[], Heads]) -> None:
        self.generation = 0
        self._read_heads = heads
        self._heads: Heads = {}
        self._heads_generation = -1
        self._waiters: dict[asyncio.Future[None], GrowthWatch] = {}

    def grew(self) -> None:
        """Start a new generation and wake everyone whom it concerns."""
        self.generation += 1
        for waiter, watch in list(self._waiters.items()):
            if watch.concerned():
                _resolve(waiter)
                del self._waiters[waiter]

    def heads(self) -> Heads:
        """Return where the streams are as of this generation, read once for all watches."""
        if self._heads_generation != self.generation:
            self._heads = self._read_heads()
            self._heads_generation = self.generation
        return self._heads

    def watch(self, streams: frozenset[Stream] | None = None) -> "GrowthWatch":
        """Return a watch over some streams (None: over everything) that starts at the present state."""
        return GrowthWatch(self, streams)

    async def next(self, watch: "GrowthWatch", timeout_ms: int) -> None:
        """Return when something that concerns the watch happened, or after the time-out."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters[waiter] = watch
        alarm = loop.call_later(timeout_ms / 1000, _resolve, waiter)
        try:
            await waiter
        finally:
            alarm.cancel()
            self._waiters.pop(waiter, None)


class GrowthWatch:
    """One consumer's view of a `Growth`; implements `ports.streams.Watch`."""

    def __init__(self, growth: Growth, streams: frozenset[Stream] | None) -> None:
        self._growth = growth
        self._streams = streams
        self._seen = growth.generation
        self._seen_heads = self._heads()

    async def wait(self, timeout_ms: int) -> bool:
        """Wait until a watched stream grew since the last `wait` returned; False on time-out."""
        if not self.concerned():
            await self._growth.next(self, timeout_ms)
        concerned = self.concerned()
        self._seen = self._growth.generation
        self._seen_heads = self._heads()
        return concerned

    def concerned(self) -> bool:
        """Return whether anything watched changed since the last `wait` returned."""
        if self._growth.generation == self._seen:
            return False
        return self._streams is None or self._heads() != self._seen_heads

    def _heads(self) -> list[int]:
        if self._streams is None:
            return []
        heads = self._growth.heads()
        return [heads.get(stream, 0) for stream in self._streams]


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
