"""The position of a partition: frames read and done, and the open intents that a predecessor left, from which deliveries are
recovered that were in flight when a worker was killed."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from clarion.deliver.partition.recovered import RecoveredAttempts
from clarion.deliver.partition.rows import rows_of
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.rules.window import Done, FrameWindow, Pending
from clarion.domain.channel import LANES, Lane
from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import Event
from clarion.journal.intents import decode_intents, encode_intents
from clarion.journal.repeats import advance_numbers
from clarion.ports.stage_store import Commit, IntentEntry, IntentWrite, Lease, Position
from clarion.ports.streams import Frame, StoredFrame, StreamOffset

FRAMES_AHEAD_MAX: Final = 32
"""Frames of a lane that one read returns at most."""
TURN_DELIVERIES: Final = 256
"""Deliveries of a lane that are prepared without yielding: thousands would block the event loop."""


class Backlog:
    """The deliver topics of one channel and partition, read under one lease.

    Intents and results are stored as entries of open intents with growing numbers. A frame's `mark` is the number of
    the first entry that may concern it; entries below all marks are removed with the commit.
    """

    def __init__(self, context: ChannelContext, lease: Lease) -> None:
        self._context = context
        self._lease = lease
        self._topics = {lane: topics.deliver(context.channel, lane) for lane in LANES}
        self._windows: dict[str, FrameWindow] = {}
        self._ahead: dict[str, deque[StoredFrame]] = {topic: deque() for topic in self._topics.values()}
        self._dry: set[str] = set()
        """Topics of which the last read returned nothing, and that have not grown since."""
        self._early: list[Pending] = []
        """Frames that were handed over and are not in their window yet: not stored, or behind other frames."""
        self._inherited: dict[str, int] = {}
        self._next_entry = 1
        self._first_entry = 1
        self._is_recovered = False
        self.recovered: RecoveredAttempts | None = None

    async def recover(self) -> None:
        """Read the group's positions and the open intents of uncommitted frames. Nothing is taken before."""
        store, (group, partition) = self._context.store, (self._lease.group, self._lease.partition)
        positions, heads, entries = await asyncio.gather(
            store.positions(group, [partition]),
            self._context.streams.heads_of([(topic, partition) for topic in self._topics.values()]),
            store.open_intents(group, partition),
        )
        for topic in self._topics.values():
            self._windows[topic] = FrameWindow(_done(positions[partition].get(topic)))
            self._inherited[topic] = heads[topic, partition]
        if not entries:
            self._is_recovered = True
            return
        self._first_entry = entries[0].number
        recovered = RecoveredAttempts()
        while entries:
            with self._context.telemetry.cpu("deliver"):
                for entry in entries:
                    recovered.add(decode_intents(entry.payload))
            self._next_entry = entries[-1].number + 1
            await asyncio.sleep(0)
            entries = await store.open_intents(group, partition, entries[-1].number)
        self.recovered = recovered
        self._is_recovered = True

    def take_work(self, room: Mapping[Lane, int]) -> list[Work]:
        """Return deliveries that are in memory, about as many of each lane as `room` has for it and not many more than
        `TURN_DELIVERIES` of each, most urgent first: frames read ahead of a lane never displace those of a more urgent
        one. Raises `UnknownFrame` once that is the next frame of a lane."""
        if self.recovered is not None and all(w.read >= self._inherited[topic] for topic, w in self._windows.items()):
            self.recovered = None
        mark = self._mark()
        with self._context.telemetry.cpu("deliver"):
            work: list[Work] = []
            for lane, topic in self._topics.items():
                work += self._rows(lane, topic, min(room[lane], TURN_DELIVERIES), mark, started=bool(work))
            return work

    def has_next(self, room: Mapping[Lane, int]) -> bool:
        """Return whether `take_work` finds a frame in memory."""
        return any(self._ahead[topic] and room[lane] > 0 for lane, topic in self._topics.items())

    async def read_ahead(self, room: Mapping[Lane, int], grown: set[tuple[str, int]]) -> None:
        """Read frames of each lane into memory, as many as there is room for and always the next one, by one read at
        most. A lane with none in memory after it had none when the read began. `grown` is cleared; a stream that had
        nothing is read again only once it has grown."""
        self._dry.difference_update(topic for topic, _ in grown)
        grown.clear()
        places: list[StreamOffset] = []
        for lane, topic in self._topics.items():
            if topic in self._dry:
                continue
            ahead = self._ahead[topic]
            if not ahead or sum(frame.count for frame in ahead) < room[lane]:
                after = ahead[-1].offset if ahead else self._windows[topic].read
                places.append(StreamOffset(topic, self._lease.partition, after))
        if places:
            found = await self._context.streams.read_many(places, FRAMES_AHEAD_MAX)
            for place, frames in zip(places, found, strict=True):
                self._ahead[place.topic] += frames
                if not frames:
                    self._dry.add(place.topic)

    def _rows(self, lane: Lane, topic: str, room: int, mark: int, *, started: bool) -> list[Work]:
        """Return the deliveries of the next frames of a lane. Stops before a frame of another build; raises
        `UnknownFrame` once nothing is before it."""
        work: list[Work] = []
        ahead, window = self._ahead[topic], self._windows[topic]
        while ahead and len(work) < room:
            frame = ahead[0]
            numbers = advance_numbers(frame, window.numbers)
            try:
                event = None if numbers is None else self._decoded(frame)
            except UnknownFrame:
                if work or started:
                    break
                raise
            ahead.popleft()
            if (early := self._early_at(topic, frame.offset)) is not None:
                self._place(early)
                continue
            rows = [] if event is None else rows_of(event)
            pending = window.add(frame.offset, len(rows), mark, window.numbers if numbers is None else numbers)
            work += [Work(row, lane, pending) for row in rows]
        return work

    @property
    def is_done(self) -> bool:
        """Whether no known frame waits to be read: a frame handed over now is the next one."""
        return self._is_recovered and self.recovered is None and len(self._dry) == len(self._topics)

    def early(self, lane: Lane, frame: Frame) -> tuple[Pending, list[Work]]:
        """Return the deliveries of a frame that is about to be stored. It ends in `landed` or `dropped`."""
        rows = rows_of(decode(frame.payload))
        pending = Pending(0, len(rows), self._mark(), {})
        pending.topic = frame.topic
        self._early.append(pending)
        return pending, [Work(row, lane, pending) for row in rows]

    def landed(self, pending: Pending, offset: int) -> None:
        """Note where a frame that was handed over is stored. When other frames came before it, it is read in order."""
        pending.offset, window = offset, self._windows[pending.topic]
        pending.numbers = window.numbers
        if offset == window.read + 1 and not self._ahead[pending.topic]:
            self._place(pending)

    def dropped(self, pending: Pending) -> None:
        """Forget a frame that was handed over and is not stored."""
        self._early.remove(pending)

    def _early_at(self, topic: str, offset: int) -> Pending | None:
        return next((one for one in self._early if one.offset == offset and one.topic == topic), None)

    def _place(self, pending: Pending) -> None:
        self._early.remove(pending)
        self._windows[pending.topic].place(pending)

    def intended(self, records: Iterable[Event]) -> list[IntentWrite]:
        """Return the intents to store of attempts about to be made, and of those found lost."""
        entry = self._intent_entry(records)
        return [] if entry is None else [IntentWrite(self._lease, [entry])]

    def settled(self, records: Iterable[Event]) -> tuple[list[Commit], list[IntentWrite]]:
        """Return commits up to the first unfinished frame of each topic that advanced, and the entries to store of
        these results: none where no frame is left open."""
        commits = [
            Commit(self._lease, topic, window.done.offset, dict(window.done.numbers))
            for topic, window in self._windows.items()
            if window.advance()
        ]
        marks = [mark for window in self._windows.values() if (mark := window.mark()) is not None]
        marks += [pending.mark for pending in self._early]
        entry = self._intent_entry(records) if marks or self.recovered is not None else None
        below = min([*marks, self._mark()])
        done, self._first_entry = below > self._first_entry, max(below, self._first_entry)
        if entry is None and not done:
            return commits, []
        return commits, [IntentWrite(self._lease, [] if entry is None else [entry], below if done else 0)]

    def _intent_entry(self, records: Iterable[Event]) -> IntentEntry | None:
        payload = encode_intents(records)
        if not payload:
            return None
        self._next_entry += 1
        return IntentEntry(self._next_entry - 1, payload)

    def _mark(self) -> int:
        """Return the first entry that may concern frames not read yet. While inherited frames wait to be read, that is
        the first entry found: the predecessors' entries about them begin there."""
        return self._next_entry if self.recovered is None else self._first_entry

    def _decoded(self, stored: StoredFrame) -> Event | None:
        """Return the event of a frame, or None for a damaged one. Raises `UnknownFrame` for a frame that only another
        build can read."""
        try:
            return decode(stored.payload)
        except UnknownFrame as error:
            raise UnknownFrame(f"{stored.topic} at offset {stored.offset}: {error}") from None
        except CorruptFrame as error:
            place = {"topic": stored.topic, "partition": stored.partition, "offset": stored.offset}
            self._context.telemetry.log("error", "frame_quarantined", **place, detail=str(error))
            return None


def _done(position: Position | None) -> Done:
    return Done(0, {}) if position is None else Done(position.offset, position.numbers)
