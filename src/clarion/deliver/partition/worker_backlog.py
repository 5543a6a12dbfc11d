"""Where a partition stands: what is read, what is done, and what a predecessor left behind."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from clarion.deliver.partition.intake import Legacy, rows_of
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_supplies import Supplies
from clarion.deliver.rules.window import Window
from clarion.domain.channel import LANES, Lane
from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import Event
from clarion.ports.journal import Commit, Lease, StoredFrame

RECOVERY_MARGIN_MS = 60_000
"""How much older than its frame an intent may look when clocks of two machines differ."""
FRAMES_AHEAD_MAX: Final = 32
"""Frames of a lane that one read brings."""


class Backlog:
    """The deliver topics of one channel and partition, read under one lease."""

    def __init__(self, tools: Supplies, lease: Lease) -> None:
        self._t = tools
        self._lease = lease
        self._journal = tools.journal
        self._topics = {lane: topics.deliver(tools.channel, lane) for lane in LANES}
        committed = self._journal.committed(lease.group, lease.partition)
        self._marks = [position.mark for position in committed.values()]
        self._windows = {
            topic: Window(committed[topic].offset if topic in committed else 0) for topic in self._topics.values()
        }
        self._ahead: dict[str, deque[StoredFrame]] = {topic: deque() for topic in self._topics.values()}
        self._inherited = {topic: self._journal.head(topic, lease.partition) for topic in self._topics.values()}
        self._recovered_from = 0
        self.legacy: Legacy | None = None

    def recover(self) -> Iterator[None]:
        """Read what became of the frames left uncommitted, yielding between batches of frames."""
        oldest = [
            stored.appended_ms
            for topic, window in self._windows.items()
            for stored in self._journal.read(topic, self._lease.partition, window.committed, 1)
        ]
        if not oldest:
            return
        offset = min(self._marks, default=0)
        for stored in self._outcomes_since(min(oldest) - RECOVERY_MARGIN_MS):
            offset = max(offset, stored.offset - 1)
        legacy = Legacy()
        self._recovered_from = offset
        while frames := self._journal.read(topics.OUTCOMES, self._lease.partition, offset):
            legacy.learn(filter(None, map(self._decoded, frames)), self._t.channel)
            offset = frames[-1].offset
            yield
        self.legacy = legacy

    def _outcomes_since(self, appended_ms: int) -> list[StoredFrame]:
        return self._journal.since(topics.OUTCOMES, self._lease.partition, appended_ms, 1)

    async def take(self, room: Mapping[Lane, int]) -> list[Work]:
        """Read frames for about so many deliveries of each lane, most urgent first: what is read ahead of a lane never
        takes the place of a more urgent one. Raises `UnknownFrame` once that is the next of a lane."""
        if self.legacy is not None and all(w.read >= self._inherited[topic] for topic, w in self._windows.items()):
            self.legacy = None
        await self._read_ahead(room)
        mark = self._mark()
        with self._t.telemetry.cpu("deliver"):
            work: list[Work] = []
            for lane, topic in self._topics.items():
                work += self._rows(lane, topic, room[lane], mark, started=bool(work))
            return work

    async def _read_ahead(self, room: Mapping[Lane, int]) -> None:
        """Have frames of each lane in memory, as many as there is room for, by one read at most."""
        for lane, topic in self._topics.items():
            ahead = self._ahead[topic]
            if sum(frame.count for frame in ahead) < room[lane]:
                after = ahead[-1].offset if ahead else self._windows[topic].read
                ahead += self._journal.read(topic, self._lease.partition, after, FRAMES_AHEAD_MAX)

    def _rows(self, lane: Lane, topic: str, room: int, mark: int, *, started: bool) -> list[Work]:
        """Return the deliveries of the next frames of a lane. A frame of another build ends them; it is raised once there is
        nothing before it."""
        work: list[Work] = []
        ahead, window = self._ahead[topic], self._windows[topic]
        while ahead and len(work) < room:
            try:
                event = self._decoded(ahead[0])
            except UnknownFrame:
                if work or started:
                    break
                raise
            rows = [] if event is None else rows_of(event)
            pending = window.add(ahead.popleft().offset, len(rows), mark)
            work += [Work(row, lane, pending) for row in rows]
        return work

    def commits(self) -> list[Commit]:
        """Return commits up to the first unfinished frame of each topic, with the mark recovery starts from."""
        offsets = {topic: window.advance() for topic, window in self._windows.items()}
        marks = [mark for window in self._windows.values() if (mark := window.mark()) is not None]
        mark = min([*marks, self._mark()])
        return [Commit(self._lease, topic, offset, mark) for topic, offset in offsets.items()]

    def _mark(self) -> int:
        """Return where recovery of what is not read yet has to begin. As long as inherited frames wait to be read, that
        is where our own recovery began: what our predecessors recorded of them stands there."""
        if self.legacy is not None:
            return self._recovered_from
        return self._journal.head(topics.OUTCOMES, self._lease.partition)

    def _decoded(self, stored: StoredFrame) -> Event | None:
        """Return what is in a frame, or None of a damaged one. Raises `UnknownFrame`: only another build can read it."""
        try:
            return decode(stored.payload)
        except UnknownFrame as error:
            raise UnknownFrame(f"{stored.topic} at offset {stored.offset}: {error}") from None
        except CorruptFrame as error:
            topic, offset = stored.topic, stored.offset
            self._t.telemetry.log("error", "frame_quarantined", topic=topic, offset=offset, detail=str(error))
            return None
