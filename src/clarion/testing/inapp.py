"""Broadcasts into the inbox are sent by planning them; this reads from the journal what planning said."""

from clarion.domain.channel import Channel
from clarion.journal.codec import decode
from clarion.journal.events import ChunkFrame, ChunkReleasedFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.journal import Journal
from clarion.testing.sending import Sent


class InappChunks:
    """Tells `sent` of the in-app chunks that were planned or released since the last look."""

    def __init__(self, journal: Journal, sent: Sent) -> None:
        self._journal = journal
        self._sent = sent
        self._offsets = dict.fromkeys(range(journal.partitions), 0)
        self._chunks: dict[bytes, ChunkFrame] = {}

    def look(self) -> None:
        """Read what is new."""
        for partition in self._offsets:
            while frames := self._journal.read(OUTCOMES, partition, self._offsets[partition]):
                self._offsets[partition] = frames[-1].offset
                for frame in frames:
                    self._take(decode(frame.payload))

    def _take(self, event: object) -> None:
        if isinstance(event, ChunkFrame) and event.channel == Channel.INAPP:
            self._chunks[event.chunk_id] = event
            self._sent.shown(event, event.states)
        elif isinstance(event, ChunkReleasedFrame) and event.chunk_id in self._chunks:
            self._sent.shown(self._chunks[event.chunk_id], event.states)
