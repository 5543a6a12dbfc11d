"""Streams in PostgreSQL: readers read the frames that commits of the stage store appended, so no frame is ever repeated."""

from collections.abc import Collection, Sequence
from typing import Final

from clarion.domain.limits_processes import JOURNAL_READ_BYTES_MAX
from clarion.ports.streams import StoredFrame, StreamOffset, StreamsTraits
from clarion.runtime.watch import GrowthWatch, streams_of
from clarion.stores.postgres.pool import Database, columns
from clarion.stores.postgres.sql_files import sql
from clarion.stores.postgres.tenancy import NO_TENANT
from clarion.stores.postgres.wake_ups import WakeUps

_SINCE: Final = "SELECT journal.first_since($1, $2, $3)"
_HEADS_OF: Final = """SELECT topic, partition, head FROM journal.streams
    WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::integer[]))"""


class PostgresStreams:
    """Implements `ports.streams.Streams`. Used from one event loop."""

    streams_traits = StreamsTraits(repeats=False)

    def __init__(self, database: Database, wakes: WakeUps, partitions: int) -> None:
        self.partitions = partitions
        self._database = database
        self._wakes = wakes

    async def read_many(self, places: Sequence[StreamOffset], limit_frames: int = 64) -> list[list[StoredFrame]]:
        """Return for each place up to `limit_frames` frames after it, in order. Raises `StoreUnavailable`."""
        found: list[list[StoredFrame]] = [[] for _ in places]
        if not places:
            return found
        rows = await self._database.fetch(
            NO_TENANT, sql("read_frames"), *columns(places, 3), limit_frames, JOURNAL_READ_BYTES_MAX
        )
        for place, offset, count, appended_ms, payload in rows:
            topic, partition, _ = places[place - 1]
            found[place - 1].append(StoredFrame(topic, partition, offset, count, appended_ms, payload, "", offset))
        return found

    async def read_since(
        self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256
    ) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first. Raises `StoreUnavailable`."""
        first = await self._database.fetchval(NO_TENANT, _SINCE, topic, partition, appended_ms)
        if first is None:
            return []
        (frames,) = await self.read_many([StreamOffset(topic, partition, first - 1)], limit_frames)
        return frames

    async def heads_of(self, streams: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the newest offset of each stream, 0 where it is empty. Raises `StoreUnavailable`."""
        rows = await self._database.fetch(NO_TENANT, _HEADS_OF, *columns(list(streams), 2))
        heads = {(topic, partition): head for topic, partition, head in rows}
        return {stream: heads.get(stream, 0) for stream in streams}

    def watch(self, topics: Collection[str] = (), partitions: Collection[int] | None = None) -> GrowthWatch:
        """Return a new watch for one consumer loop."""
        of = range(self.partitions) if partitions is None else partitions
        watch = self._wakes.growth.watch(streams_of(topics, of) if topics else None)
        self._wakes.listen()
        return watch
