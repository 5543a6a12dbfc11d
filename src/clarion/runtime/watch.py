"""Waiting for the journal to grow: watches over streams, each woken only by growth of its own streams.

A backend calls `notify` after a commit became readable, with the streams it touched. A watch remembers that it was woken until
its next `wait`, so frames that become readable between a consumer's read and its `wait` end that `wait` at once. Where
a wake-up may have been lost, a backend calls `look` periodically: it compares the heads of the streams with those it
saw last.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias
from weakref import WeakSet

from clarion.journal.topics import MARKERS

Stream: TypeAlias = tuple[str, int]
"""Topic and partition."""
Heads: TypeAlias = Mapping[Stream, int]
"""A number per stream or marker that changes whenever the stream or marker grows."""
Interest: TypeAlias = str | int
"""A subscription of a process to growth: all streams of a partition, or a marker (`journal.topics.MARKERS`)."""


def streams_of(topics: Collection[str], partitions: Collection[int]) -> frozenset[Stream]:
    """Return the streams of these topics and partitions; a marker is a single stream, independent of the partitions."""
    streams = ((topic, partition) for topic in topics if topic not in MARKERS for partition in partitions)
    return frozenset((*streams, *((topic, 0) for topic in topics if topic in MARKERS)))


def interest_of(stream: Stream) -> Interest:
    """Return the interest that covers a stream."""
    topic, partition = stream
    return topic if topic in MARKERS else partition


class GrowthSignal:
    """Wakes the watches of one process; used from the event loop's thread only. `heads` reads the streams' current
    heads."""

    def __init__(self, heads: Callable[[], Heads]) -> None:
        self._read_heads = heads
        self._heads: Heads | None = None
        self._watches: defaultdict[Stream, WeakSet[GrowthWatch]] = defaultdict(WeakSet)
        self._general: WeakSet[GrowthWatch] = WeakSet()
        """Watches over all streams."""

    def notify(self, streams: Collection[Stream]) -> None:
        """Wake the watches over any of these streams, and those over all streams."""
        if not streams:
            return
        for watch in self._general:
            watch.wake()
        for stream in streams:
            for watch in self._watches.get(stream, ()):
                watch.grown.add(stream)
                watch.wake()

    def look(self) -> None:
        """Wake the watches over streams and markers that changed since the last look."""
        before, self._heads = self._heads or {}, self._read_heads()
        self.notify([stream for stream, head in self._heads.items() if before.get(stream) != head])

    def watch(self, streams: frozenset[Stream] | None = None) -> "GrowthWatch":
        """Return a watch over some streams (None: over all) that starts at the current state."""
        if self._heads is None:
            self._heads = self._read_heads()
        watch = GrowthWatch()
        if streams is None:
            self._general.add(watch)
        for stream in streams or ():
            self._watches[stream].add(watch)
        return watch

    def interests(self) -> frozenset[Interest] | None:
        """Return the interests of all current watches; None when a watch is over all streams."""
        if self._general:
            return None
        self._watches = defaultdict(WeakSet, {stream: watches for stream, watches in self._watches.items() if watches})
        return frozenset(map(interest_of, self._watches))


class GrowthWatch:
    """One consumer's view of a `GrowthSignal`; implements `ports.streams.Watch`."""

    def __init__(self) -> None:
        self.is_woken = False
        """Whether the next `wait` ends at once."""
        self.grown: set[Stream] = set()
        """Watched streams and markers that have grown. The consumer removes those it has read."""
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, timeout_ms: int) -> bool:
        """Wait until a watched stream has grown since the last `wait` returned, or `wake` was called. Return False on
        time-out."""
        if not self.is_woken:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            alarm = loop.call_later(timeout_ms / 1000, _resolve, waiter)
            try:
                await waiter
            finally:
                alarm.cancel()
        woken, self.is_woken = self.is_woken, False
        return woken

    def wake(self) -> None:
        """End the current `wait`, or the next one at once."""
        self.is_woken = True
        if self._waiter is not None:
            _resolve(self._waiter)


@asynccontextmanager
async def woken_by(stop: asyncio.Event, wake: Callable[[], None]) -> AsyncIterator[None]:
    """Call `wake` when `stop` is set, so that a waiter need not poll `stop`."""

    async def wait() -> None:
        await stop.wait()
        wake()

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
