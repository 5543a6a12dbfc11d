"""Frames read and not folded yet: all partitions are read in one call, and no frame twice."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from clarion.journal.topics import OUTCOMES
from clarion.ports.stage_store import Lease
from clarion.ports.streams import Place, StoredFrame, Streams

Batch = list[tuple[Lease, list[StoredFrame]]]

_FRAMES_AHEAD_MAX: Final = 64
"""Frames of a partition that one read brings."""


class FramesAhead:
    """Reads `outcomes` for one worker and keeps what does not fit into a batch."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._ahead: dict[Lease, deque[StoredFrame]] = {}

    def forget(self) -> None:
        """Read everything again: others may have folded it."""
        self._ahead = {}

    async def read(self, offsets: Mapping[Lease, int], events: int) -> Batch:
        """Return the next frames behind the offsets of these leases, the first lease first, up to so many events or a little
        more. What is returned comes again until its lease stands behind it."""
        self._ahead = {lease: self._behind(lease, offset) for lease, offset in offsets.items()}
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

    async def _fill(self, offsets: Mapping[Lease, int], events: int) -> None:
        """Read, in one call, the partitions of which nothing is here, and the others, too, where a batch is not full."""
        held = sum(frame.count for ahead in self._ahead.values() for frame in ahead)
        asked = [lease for lease, ahead in self._ahead.items() if not ahead or held < events]
        if not asked:
            return
        places = [
            Place(OUTCOMES, lease.partition, ahead[-1].offset if (ahead := self._ahead[lease]) else offsets[lease])
            for lease in asked
        ]
        for lease, frames in zip(asked, await self._streams.read_many(places, _FRAMES_AHEAD_MAX), strict=True):
            self._ahead[lease] += frames

    def _behind(self, lease: Lease, offset: int) -> deque[StoredFrame]:
        ahead = self._ahead.get(lease, deque())
        while ahead and ahead[0].offset <= offset:
            ahead.popleft()
        return ahead
