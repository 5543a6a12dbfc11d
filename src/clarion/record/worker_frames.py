"""Frames that are read and not folded yet: all partitions are read in one call, and no frame twice."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from clarion.journal.topics import OUTCOMES
from clarion.ports.stage_store import Lease
from clarion.ports.streams import StoredFrame, StreamOffset, Streams

Batch = list[tuple[Lease, list[StoredFrame]]]

_FRAMES_AHEAD_MAX: Final = 64
"""Frames of a partition that one read returns at most."""


class FramesAhead:
    """Reads `outcomes` for one worker and buffers frames that do not fit into a batch."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._ahead: dict[Lease, deque[StoredFrame]] = {}
        self._offsets: Mapping[Lease, int] = {}

    def forget(self) -> None:
        """Drop the buffer: another worker may have folded its frames."""
        self._ahead = {}

    def events(self, offsets: Mapping[Lease, int]) -> int:
        """Return the number of buffered events behind the offsets of these leases."""
        return sum(
            frame.count
            for lease, offset in offsets.items()
            for frame in self._ahead.get(lease, ())
            if frame.offset > offset
        )

    async def read(self, offsets: Mapping[Lease, int], events: int) -> Batch:
        """Return the next frames behind the offsets of these leases, the first lease first, with about `events` events
        or a few more. A returned frame is returned again until the offset of its lease has passed it."""
        self._ahead = {lease: self._behind(lease, offset) for lease, offset in offsets.items()}
        self._offsets = offsets
        await self._fill(offsets, events)
        batch: Batch = []
        for lease, ahead in self._ahead.items():
            taken = []
            for frame in ahead:
                if events <= 0:
                    break
                taken.append(frame)
                events -= frame.count
            if taken:
                batch.append((lease, taken))
        return batch

    async def read_on(self, batch: Batch, events: int) -> None:
        """Read the frames behind a batch that `read` returned, concurrently with folding it."""
        await self._fill({**self._offsets, **{lease: frames[-1].offset for lease, frames in batch}}, events)

    async def _fill(self, offsets: Mapping[Lease, int], events: int) -> None:
        """Read, in one call, the partitions with nothing buffered behind the offsets, and all partitions where a batch
        is not full."""
        full = self.events(offsets) >= events
        asked = [
            lease for lease, ahead in self._ahead.items() if not full or not ahead or ahead[-1].offset <= offsets[lease]
        ]
        if not asked:
            return
        places = [
            StreamOffset(
                OUTCOMES, lease.partition, ahead[-1].offset if (ahead := self._ahead[lease]) else offsets[lease]
            )
            for lease in asked
        ]
        for lease, frames in zip(asked, await self._streams.read_many(places, _FRAMES_AHEAD_MAX), strict=True):
            self._ahead[lease] += frames

    def _behind(self, lease: Lease, offset: int) -> deque[StoredFrame]:
        ahead = self._ahead.get(lease, deque())
        while ahead and ahead[0].offset <= offset:
            ahead.popleft()
        return ahead
