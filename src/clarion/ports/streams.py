"""Streams: ordered frames, carried at least once.

Topics are `accepted.<lane>`, `deliver.<channel>.<lane>` and `outcomes`. Each (topic, partition) is a stream whose frames
carry offsets 1, 2, 3, ... without gaps. A carrier may repeat a frame at a new offset; it never loses one and never
changes the order in which the frames of one producer first arrived.

Frames are written by `StageStore.commit`: where store and carrier are one backend in the same transaction, elsewhere from
the store's outbox.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec


class StreamsTraits(msgspec.Struct, frozen=True):
    """Declared differences between carriers. A carrier that `repeats` may deliver frames again, with the same producer
    and sequence; for other carriers the producer is empty and the sequence is the offset."""

    repeats: bool


class Frame(msgspec.Struct, frozen=True):
    """One record of the journal before it has an offset: `payload` is a whole encoded frame of `count` events."""

    topic: str
    partition: int
    count: int
    payload: bytes


class StoredFrame(msgspec.Struct, frozen=True):
    """A frame as read back. `appended_ms` is Unix milliseconds by the writer's clock.

    A carrier may repeat frames at new offsets. `producer` then names the writer, and `sequence` grows by one with each
    frame of that producer on the stream, so that repeats are recognized. Where the carrier is the store, nothing
    repeats: the producer is empty and the sequence is the offset.
    """

    topic: str
    partition: int
    offset: int
    count: int
    appended_ms: int
    payload: bytes
    producer: str = ""
    sequence: int = 0


class StreamOffset(NamedTuple):
    """A position to read from: after offset `after` of a stream."""

    topic: str
    partition: int
    after: int = 0


class Watch(Protocol):
    """One consumer's watch for growth of the journal. Create it before the first read: a frame appended after a read
    began, by this process or another, ends the next `wait`: then it `is_woken`."""

    is_woken: bool
    grown: set[tuple[str, int]]
    """The watched streams and markers that grew. A consumer removes an entry before it reads that stream."""

    async def wait(self, timeout_ms: int) -> bool:
        """Wait until a frame may have been appended since the last `wait` returned, or `wake` was called; return False
        on timeout."""
        ...

    def wake(self) -> None:
        """End the running `wait`, or the next one at once."""
        ...


class Streams(Protocol):
    """Reads see every commit that returned before they began."""

    streams_traits: StreamsTraits
    partitions: int

    async def read_many(self, places: Sequence[StreamOffset], limit_frames: int = 64) -> list[list[StoredFrame]]:
        """Return for each place up to `limit_frames` frames after it, in order. There may be fewer when they are large,
        but at least one if there is any."""
        ...

    async def read_since(
        self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256
    ) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        ...

    async def heads_of(self, streams: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the newest offset of each stream, by (topic, partition); 0 where it is empty."""
        ...

    def watch(self, topics: Collection[str] = (), partitions: Collection[int] | None = None) -> Watch:
        """Return a new watch for one consumer loop; it does not report frames appended before now.

        With topics it is woken by their frames only (in some partitions, if given), otherwise by all frames. Markers
        (`journal.topics.MARKERS`) are watched as topics are. A lost wake-up is recovered within a second.
        """
        ...
