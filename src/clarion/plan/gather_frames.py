"""Reads what waits to be planned: the frames of one partition, the most urgent lane first."""

from typing import Final, NamedTuple

from clarion.domain.channel import LANES, Lane
from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import Event
from clarion.journal.repeats import taken
from clarion.plan.work import PLANNED
from clarion.ports.stage_store import Commit, Lease, Position, StageStore
from clarion.ports.streams import Place, StoredFrame, Streams
from clarion.ports.telemetry import Telemetry

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


class FrameReader:
    """Reads for one process and remembers how far it has come in each partition."""

    def __init__(self, streams: Streams, store: StageStore, telemetry: Telemetry, batch_events: int) -> None:
        self._streams = streams
        self._store = store
        self._telemetry = telemetry
        self._batch_events = batch_events
        self._positions: dict[int, tuple[int, dict[str, Position]]] = {}

    async def read(self, partition: int, lease: Lease) -> Frames:
        """Return what comes next, up to `batch_events` events or a little more, and up to a frame that nobody here can read.
        Raises `UnknownFrame` when that comes first. A damaged frame is logged and passed over, and so is, without a word,
        one that the carrier repeats."""
        positions = await self._position(partition, lease)
        frames = Frames([], {}, 0)
        found = await self._streams.read_many(
            [Place(topic, partition, positions.get(topic, _START).offset) for topic in _TOPICS.values()]
        )
        for (lane, topic), waiting in zip(_TOPICS.items(), found, strict=True):
            position = positions.get(topic, _START)
            for stored in waiting:
                numbers = taken(stored, position.numbers)
                try:
                    event = None if numbers is None else self._decoded(stored)
                except UnknownFrame:
                    if frames.read:
                        return frames  # the next read finds it first
                    raise
                if event is not None:
                    frames.batch.append((lane, event))
                position = Position(stored.offset, position.numbers if numbers is None else dict(numbers))
                frames.read[topic] = position
                frames = frames._replace(number=frames.number + stored.count)
                if frames.number >= self._batch_events:
                    return frames
        return frames

    def done(self, partition: int, frames: Frames) -> None:
        """Go on behind these frames: they are committed."""
        self._positions[partition][1].update(frames.read)

    def forget(self, partition: int) -> None:
        """Ask the store again how far a partition is: others plan it."""
        self._positions.pop(partition, None)

    async def _position(self, partition: int, lease: Lease) -> dict[str, Position]:
        fence, positions = self._positions.get(partition, (0, {}))
        if fence != lease.fence:
            positions = (await self._store.positions(topics.GROUP_PLAN, [partition]))[partition]
            self._positions[partition] = (lease.fence, positions)
        return positions

    def _decoded(self, stored: StoredFrame) -> Event | None:
        try:
            event = decode(stored.payload)
        except CorruptFrame as error:
            self._telemetry.log(
                "error", "frame_quarantined", topic=stored.topic, offset=stored.offset, detail=str(error)
            )
            return None
        except UnknownFrame as error:
            raise UnknownFrame(f"{_place(stored)}: {error}") from error
        if not isinstance(event, PLANNED):
            raise UnknownFrame(f"{_place(stored)}: this build does not plan frames of kind {type(event).__name__}")
        return event


def _place(stored: StoredFrame) -> str:
    return f"{stored.topic} of partition {stored.partition}, offset {stored.offset}"
