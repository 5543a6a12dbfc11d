"""Streams of the reference implementation: lists of frames, which may be repeated as by a carrier outside the store."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from clarion.domain.limits_processes import JOURNAL_READ_BYTES_MAX
from clarion.ports.clock import Clock
from clarion.ports.streams import Frame, StoredFrame, StreamOffset, StreamsTraits
from clarion.runtime.watch import GrowthSignal, GrowthWatch, streams_of

_PRODUCER: Final = "memory"


class Stream:
    """Frames of one topic and partition; `trimmed` is the number of frames deleted from the front, `written` the number
    appended (repeated frames are stored in addition)."""

    def __init__(self) -> None:
        self.frames: list[StoredFrame] = []
        self.trimmed = 0
        self.written = 0

    @property
    def head(self) -> int:
        """The newest offset."""
        return self.trimmed + len(self.frames)

    def newest(self, number: int) -> list[StoredFrame]:
        """Return the last `number` frames that were appended, each once, in order."""
        last = {frame.sequence: frame for frame in self.frames if frame.sequence > self.written - number}
        return [last[sequence] for sequence in sorted(last)]

    def after(self, offset: int) -> list[StoredFrame]:
        """Return the frames after an offset."""
        return self.frames[max(0, offset - self.trimmed) :]


class MemoryStreams:
    """Implements `ports.streams.Streams` for one process and one event loop.

    With `repeats` it acts like a carrier outside the store: after each frame, the last `repeats` frames are repeated at
    new offsets, with their original producer and sequence. No frame is lost.
    """

    def __init__(self, clock: Clock, partitions: int, repeats: int) -> None:
        self.partitions = partitions
        self.streams_traits = StreamsTraits(repeats=repeats > 0)
        self._clock = clock
        self._repeats = repeats
        self.streams: dict[tuple[str, int], Stream] = defaultdict(Stream)
        self._grown: set[tuple[str, int]] = set()
        self._growth = GrowthSignal(lambda: {key: stream.head for key, stream in self.streams.items()})

    def grew(self, *markers: str) -> None:
        """Wake the watches of streams that got frames since the last call, and of these markers
        (`journal.topics.MARKERS`)."""
        grown, self._grown = self._grown, set()
        self._growth.notify([*grown, *((marker, 0) for marker in markers)])

    async def read_many(self, places: Sequence[StreamOffset], limit_frames: int = 64) -> list[list[StoredFrame]]:
        """Return for each place up to `limit_frames` frames after it, in order."""
        return [self._read(*place, limit_frames) for place in places]

    async def read_since(
        self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256
    ) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        return self._since(topic, partition, appended_ms, limit_frames)

    async def heads_of(self, streams: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the newest offset of each stream, 0 where it is empty."""
        return {stream: self._head(*stream) for stream in streams}

    def _read(self, topic: str, partition: int, after: int, limit_frames: int = 64) -> list[StoredFrame]:
        """Return up to `limit_frames` frames with offsets above `after`, in order."""
        frames: list[StoredFrame] = []
        room = JOURNAL_READ_BYTES_MAX
        for frame in self.streams[topic, partition].after(after)[:limit_frames]:
            room -= len(frame.payload)
            if frames and room < 0:
                break
            frames.append(frame)
        return frames

    def _since(self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        older = sum(frame.appended_ms < appended_ms for frame in self.streams[topic, partition].frames)
        return self._read(topic, partition, self.streams[topic, partition].trimmed + older, limit_frames)

    def _head(self, topic: str, partition: int) -> int:
        """Return the newest offset of a stream, 0 when it is empty."""
        return self.streams[topic, partition].head

    def watch(self, topics: Collection[str] = (), partitions: Collection[int] | None = None) -> GrowthWatch:
        """Return a new watch for one consumer loop."""
        of = range(self.partitions) if partitions is None else partitions
        return self._growth.watch(streams_of(topics, of) if topics else None)

    def put(self, frame: Frame, appended_ms: int | None = None) -> int:
        """Append a frame, now or as of a time, and return its offset."""
        stream = self.streams[frame.topic, frame.partition]
        self._grown.add((frame.topic, frame.partition))
        newest_ms = stream.frames[-1].appended_ms if stream.frames else 0
        appended_ms = max(self._clock.now_ms() if appended_ms is None else appended_ms, newest_ms)
        offset = stream.head + 1
        stream.written += 1
        sequence = stream.written if self._repeats else offset
        producer = _PRODUCER if self._repeats else ""
        stored = StoredFrame(
            frame.topic, frame.partition, offset, frame.count, appended_ms, frame.payload, producer, sequence
        )
        stream.frames.append(stored)
        for again in stream.newest(self._repeats):
            stream.frames.append(msgspec.structs.replace(again, offset=stream.head + 1, appended_ms=appended_ms))
        return offset
