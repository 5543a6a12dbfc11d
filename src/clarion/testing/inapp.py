"""Reads in-app broadcasts from the journal: they are sent by their planning, so no sender makes an attempt."""

from itertools import chain

from clarion.domain.channel import Channel
from clarion.journal.codec import decode
from clarion.journal.events import ChunkFrame, ChunkReleasedFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.streams import StreamOffset, Streams
from clarion.testing.sending import Sent


class InappChunks:
    """Records in `sent` the in-app chunks that were planned or released since the last `look`."""

    def __init__(self, streams: Streams, sent: Sent) -> None:
        self._streams = streams
        self._sent = sent
        self._offsets = dict.fromkeys(range(streams.partitions), 0)
        self._chunks: dict[bytes, ChunkFrame] = {}

    async def look(self) -> None:
        """Read the new outcome events."""
        while any(
            found := await self._streams.read_many([StreamOffset(OUTCOMES, *at) for at in self._offsets.items()])
        ):
            for frame in chain.from_iterable(found):
                self._offsets[frame.partition] = frame.offset
                self._take(decode(frame.payload))

    def _take(self, event: object) -> None:
        if isinstance(event, ChunkFrame) and event.channel == Channel.INAPP:
            self._chunks[event.chunk_id] = event
            self._sent.shown(event, event.states)
        elif isinstance(event, ChunkReleasedFrame) and event.chunk_id in self._chunks:
            self._sent.shown(self._chunks[event.chunk_id], event.states)
