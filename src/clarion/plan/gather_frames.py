"""Reads what waits to be planned: the frames of all leased partitions at once, of each the most urgent lane first."""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from clarion.domain.channel import LANES, Lane
from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, Event
from clarion.journal.repeats import taken
from clarion.plan.work import PLANNED
from clarion.ports.stage_store import Commit, Lease, Position, StageStore
from clarion.ports.streams import Place, StoredFrame, Streams
from clarion.ports.telemetry import Telemetry

FRAMES_AHEAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Payloads of a partition that are read and not planned, beyond which only the next frames of a topic are read."""
_START: Final = Position(0)
_TOPICS: Final = {lane: topics.accepted(lane) for lane in LANES}
"""The most urgent first."""


class Frames(NamedTuple):
    """Events with their lane, the position read up to per topic, and how many single events they hold."""

    batch: list[tuple[Lane, Event]]
    read: dict[str, Position]
    number: int

    def commits(self, lease: Lease) -> list[Commit]:
        """Return the commits that say they are done."""
        return [Commit(lease, topic, position.offset, position.numbers) for topic, position in self.read.items()]


class _Partition:
    """A partition under one lease: how far it is planned, and the frames behind that which were read, by topic."""

    __slots__ = ("ahead", "dry", "fence", "positions")

    def __init__(self, fence: int, positions: dict[str, Position]) -> None:
        self.fence = fence
        self.positions = positions
        self.ahead: dict[str, deque[StoredFrame]] = {topic: deque() for topic in _TOPICS.values()}
        self.dry: set[str] = set()
        """Topics of which nothing was found, and that have not grown since."""

    def lacking(self, events: int) -> Iterator[str]:
        """Yield the topics to read before a batch of so many events is what it would be had all been read. Of large frames no
        more are read than `FRAMES_AHEAD_BYTES_MAX` allow, but the next one of each topic always is."""
        held_bytes = sum(len(stored.payload) for ahead in self.ahead.values() for stored in ahead)
        for topic, ahead in self.ahead.items():
            events -= sum(stored.count for stored in ahead)
            if events <= 0:
                return
            if topic not in self.dry and (not ahead or held_bytes < FRAMES_AHEAD_BYTES_MAX):
                yield topic

    def after(self, topic: str) -> int:
        """Return the offset behind which to go on reading a topic."""
        ahead = self.ahead[topic]
        return ahead[-1].offset if ahead else self.positions.get(topic, _START).offset

    def done(self, read: Mapping[str, Position]) -> None:
        """Let go of frames up to these positions."""
        self.positions.update(read)
        for topic, position in read.items():
            ahead = self.ahead[topic]
            while ahead and ahead[0].offset <= position.offset:
                ahead.popleft()


class FrameReader:
    """Reads for one process: all partitions in one call, and no frame twice. It remembers how far it has come in each."""

    def __init__(self, streams: Streams, store: StageStore, telemetry: Telemetry, batch_events: int) -> None:
        self._streams = streams
        self._store = store
        self._telemetry = telemetry
        self._batch_events = batch_events
        self._partitions: dict[int, _Partition] = {}

    async def read(self, leases: Iterable[Lease], grown: set[tuple[str, int]] | None = None) -> None:
        """Read what the next batch of each partition may hold and is not here yet. Streams that have `grown` are taken out:
        nothing else is read again of which nothing was found (None: everything is)."""
        leases = list(leases)
        self._wet(grown)
        await self._meet([lease for lease in leases if not self._knows(lease)])
        asked = [
            (lease.partition, topic)
            for lease in leases
            for topic in self._partitions[lease.partition].lacking(self._batch_events)
        ]
        if not asked:
            return
        places = [Place(topic, partition, self._partitions[partition].after(topic)) for partition, topic in asked]
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
        """Return what comes next of what was read, up to `batch_events` events or a little more, and up to a frame that nobody
        here can read. Raises `UnknownFrame` when that comes first. A damaged frame is logged and passed over, and so is, without
        a word, one that the carrier repeats."""
        known = self._partitions[partition]
        frames = Frames([], {}, 0)
        for lane, topic in _TOPICS.items():
            position = known.positions.get(topic, _START)
            for stored in known.ahead[topic]:
                numbers = taken(stored, position.numbers)
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

    def done(self, partition: int, frames: Frames) -> None:
        """Go on behind these frames: they are committed."""
        self._partitions[partition].done(frames.read)

    def forget(self, partition: int) -> None:
        """Ask the store again how far a partition is: others plan it."""
        self._partitions.pop(partition, None)

    def keep_only(self, partitions: Container[int]) -> None:
        """Let go of what was read of all other partitions."""
        for partition in [one for one in self._partitions if one not in partitions]:
            self.forget(partition)

    def _knows(self, lease: Lease) -> bool:
        known = self._partitions.get(lease.partition)
        return known is not None and known.fence == lease.fence

    async def _meet(self, leases: Sequence[Lease]) -> None:
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
    """Return how many decisions a frame asks for, roughly: one for each recipient."""
    if isinstance(event, AcceptedFrame):
        return max(stored.count, sum(len(request.to) for request in event.requests))
    return stored.count


def _place(stored: StoredFrame) -> str:
    return f"{stored.topic} of partition {stored.partition}, offset {stored.offset}"
