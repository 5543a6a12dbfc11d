"""Reads the frames to plan: all leased partitions at once, the most urgent lane of each first."""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from clarion.domain.channel import LANES, Lane
from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, Event
from clarion.journal.repeats import advance_numbers
from clarion.plan.work import PLANNED
from clarion.ports.stage_store import Commit, Lease, Position, StageStore
from clarion.ports.streams import StoredFrame, StreamOffset, Streams
from clarion.ports.telemetry import Telemetry

FRAMES_AHEAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of payloads that are read but not planned, per partition; beyond that only the next frames of a topic are
read."""
_START: Final = Position(0)
_TOPICS: Final = {lane: topics.accepted(lane) for lane in LANES}
"""The most urgent first."""


class Frames(NamedTuple):
    """Events with their lane, the position read up to per topic, and the number of single events in them."""

    batch: list[tuple[Lane, Event]]
    read: dict[str, Position]
    number: int

    def commits(self, lease: Lease) -> list[Commit]:
        """Return the commits that mark these frames as done."""
        return [Commit(lease, topic, position.offset, position.numbers) for topic, position in self.read.items()]


class _Partition:
    """A partition under one lease: the committed positions, and the frames read ahead of them, by topic."""

    __slots__ = ("ahead", "dry", "fence", "positions")

    def __init__(self, fence: int, positions: dict[str, Position]) -> None:
        self.fence = fence
        self.positions = positions
        self.ahead: dict[str, deque[StoredFrame]] = {topic: deque() for topic in _TOPICS.values()}
        self.dry: set[str] = set()
        """Topics whose last read found nothing, and that have not grown since."""

    def lacking(self, events: int) -> Iterator[str]:
        """Yield the topics to read so that a batch of `events` events is the same as if all frames had been read. Large
        frames are read ahead up to `FRAMES_AHEAD_BYTES_MAX`, but the next one of each topic always is."""
        held_bytes = sum(len(stored.payload) for ahead in self.ahead.values() for stored in ahead)
        for topic, ahead in self.ahead.items():
            events -= sum(stored.count for stored in ahead)
            if events <= 0:
                return
            if topic not in self.dry and (not ahead or held_bytes < FRAMES_AHEAD_BYTES_MAX):
                yield topic

    def after(self, topic: str) -> int:
        """Return the offset after which to continue reading a topic."""
        ahead = self.ahead[topic]
        return ahead[-1].offset if ahead else self.positions.get(topic, _START).offset

    def advance(self, read: Mapping[str, Position]) -> None:
        """Drop the frames up to these positions."""
        self.positions.update(read)
        for topic, position in read.items():
            ahead = self.ahead[topic]
            while ahead and ahead[0].offset <= position.offset:
                ahead.popleft()


class FrameReader:
    """Reads for one process: all partitions in one call, and no frame twice. It remembers its position in each
    partition."""

    def __init__(self, streams: Streams, store: StageStore, telemetry: Telemetry, batch_events: int) -> None:
        self._streams = streams
        self._store = store
        self._telemetry = telemetry
        self._batch_events = batch_events
        self._partitions: dict[int, _Partition] = {}

    async def read(self, leases: Iterable[Lease], grown: set[tuple[str, int]] | None = None) -> None:
        """Read the frames that the next batch of each partition needs and that are not read yet. Topics whose last read
        found nothing are read again only if they are in `grown`, which is emptied; with None all are read."""
        leases = list(leases)
        self._wet(grown)
        await self._read_positions([lease for lease in leases if not self._knows(lease)])
        asked = [
            (lease.partition, topic)
            for lease in leases
            for topic in self._partitions[lease.partition].lacking(self._batch_events)
        ]
        if not asked:
            return
        places = [
            StreamOffset(topic, partition, self._partitions[partition].after(topic)) for partition, topic in asked
        ]
        for (partition, topic), found in zip(asked, await self._streams.read_many(places), strict=True):
            self._partitions[partition].ahead[topic] += found
            if not found and grown is not None:
                self._partitions[partition].dry.add(topic)

    def _wet(self, grown: set[tuple[str, int]] | None) -> None:
        for topic, partition in grown or ():
            if (known := self._partitions.get(partition)) is not None:
                known.dry.discard(topic)
        if grown is not None:
            grown.clear()

    def next(self, partition: int) -> Frames:
        """Return the next frames that were read: about `batch_events` events, or fewer before a frame that this build
        cannot decode. Raises `UnknownFrame` when such a frame is the first. A damaged frame is logged and skipped; a
        frame that the carrier repeats is skipped silently."""
        known = self._partitions[partition]
        frames = Frames([], {}, 0)
        for lane, topic in _TOPICS.items():
            position = known.positions.get(topic, _START)
            for stored in known.ahead[topic]:
                numbers = advance_numbers(stored, position.numbers)
                try:
                    event = None if numbers is None else self._decoded(stored)
                except UnknownFrame:
                    if frames.read:
                        return frames  # the next batch begins with it
                    raise
                if event is not None:
                    frames.batch.append((lane, event))
                position = Position(stored.offset, position.numbers if numbers is None else dict(numbers))
                frames.read[topic] = position
                frames = frames._replace(number=frames.number + _weight(stored, event))
                if frames.number >= self._batch_events:
                    return frames
        return frames

    def advance(self, partition: int, frames: Frames) -> None:
        """Continue after these frames, which have been committed."""
        self._partitions[partition].advance(frames.read)

    def forget(self, partition: int) -> None:
        """Drop a partition, so that its positions are read from the store again: other workers plan it."""
        self._partitions.pop(partition, None)

    def keep_only(self, partitions: Container[int]) -> None:
        """Drop the frames read for all other partitions."""
        for partition in [one for one in self._partitions if one not in partitions]:
            self.forget(partition)

    def _knows(self, lease: Lease) -> bool:
        known = self._partitions.get(lease.partition)
        return known is not None and known.fence == lease.fence

    async def _read_positions(self, leases: Sequence[Lease]) -> None:
        if leases:
            found = await self._store.positions(topics.GROUP_PLAN, [lease.partition for lease in leases])
            for lease in leases:
                self._partitions[lease.partition] = _Partition(lease.fence, found[lease.partition])

    def _decoded(self, stored: StoredFrame) -> Event | None:
        try:
            event = decode(stored.payload)
        except CorruptFrame as error:
            place = {"topic": stored.topic, "partition": stored.partition, "offset": stored.offset}
            self._telemetry.log("error", "frame_quarantined", **place, detail=str(error))
            return None
        except UnknownFrame as error:
            raise UnknownFrame(f"{_place(stored)}: {error}") from error
        if not isinstance(event, PLANNED):
            raise UnknownFrame(f"{_place(stored)}: this build does not plan frames of kind {type(event).__name__}")
        return event


def _weight(stored: StoredFrame, event: Event | None) -> int:
    """Return the approximate number of decisions for a frame: one per recipient."""
    if isinstance(event, AcceptedFrame):
        return max(stored.count, sum(len(request.to) for request in event.requests))
    return stored.count


def _place(stored: StoredFrame) -> str:
    return f"{stored.topic} of partition {stored.partition}, offset {stored.offset}"
