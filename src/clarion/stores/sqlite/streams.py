"""Streams in `journal.db`: readers read the frames that commits of the stage store appended, so no frame is ever
repeated."""

from collections.abc import Collection, Sequence

from clarion.ports.streams import StoredFrame, StreamOffset, StreamsTraits
from clarion.runtime.watch import GrowthSignal, GrowthWatch, streams_of
from clarion.stores.sqlite.journal_append import Transaction
from clarion.stores.sqlite.journal_reader import JournalReader
from clarion.stores.sqlite.journal_writer import GroupCommit


class SqliteStreams:
    """Implements `ports.streams.Streams`. Used from one event loop."""

    streams_traits = StreamsTraits(repeats=False)

    def __init__(
        self, reader: JournalReader, writer: GroupCommit[Transaction], growth: GrowthSignal, partitions: int
    ) -> None:
        self.partitions = partitions
        self._reader = reader
        self._writer = writer
        self._growth = growth

    async def read_many(self, places: Sequence[StreamOffset], limit_frames: int = 64) -> list[list[StoredFrame]]:
        """Return for each place up to `limit_frames` frames after it, in order."""
        return [self._reader.read(*place, limit_frames) for place in places]

    async def read_since(
        self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256
    ) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        return self._reader.since(topic, partition, appended_ms, limit_frames)

    async def heads_of(self, streams: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the newest offset of each stream, 0 where it is empty."""
        return {stream: self._reader.head(*stream) for stream in streams}

    def watch(self, topics: Collection[str] = (), partitions: Collection[int] | None = None) -> GrowthWatch:
        """Return a new watch for one consumer loop."""
        of = range(self.partitions) if partitions is None else partitions
        watch = self._growth.watch(streams_of(topics, of) if topics else None)
        self._writer.watch_commits(self._growth.interests())
        return watch
