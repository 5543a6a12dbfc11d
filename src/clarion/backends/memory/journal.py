"""The referee model of the journal: everything in lists and dictionaries of one process, simple and obviously right.

An append checks first and changes afterwards, and nothing awaits in between, so each call is atomic on its event loop.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from typing import Final

import msgspec

from clarion.backends.memory.journal_cells import MemoryCells
from clarion.backends.memory.journal_leases import MemoryLeases
from clarion.domain.errors import DurabilityError
from clarion.domain.limits import (
    CANCELLATIONS_PER_READ_MAX,
    INTENT_ENTRIES_PER_READ_MAX,
    JOURNAL_READ_BYTES_MAX,
    PARTITIONS_MAX,
)
from clarion.domain.limits_deciding import HOLD_MS_MAX
from clarion.journal.topics import GROUP_TOPICS, urgency
from clarion.journal.watch import Growth, GrowthWatch, streams_of
from clarion.ports.clock import Clock
from clarion.ports.journal import (
    Append,
    Cancellation,
    Commit,
    Cursor,
    CursorMove,
    Frame,
    IdempotencyEntry,
    IntentEntry,
    IntentWrite,
    JournalTraits,
    Lease,
    Position,
    StaleCursor,
    StaleKey,
    StoredFrame,
    Timer,
    Wait,
)

_PRODUCER: Final = "memory"


class _Stream:
    """Frames of one topic and partition; `trimmed` says how many are gone from the front, `written` how many were appended
    (more lie here where the carrier repeats)."""

    def __init__(self) -> None:
        self.frames: list[StoredFrame] = []
        self.trimmed = 0
        self.written = 0

    @property
    def head(self) -> int:
        return self.trimmed + len(self.frames)

    def newest(self, number: int) -> list[StoredFrame]:
        """Return the last few frames that were appended, each once, in order."""
        last = {frame.sequence: frame for frame in self.frames if frame.sequence > self.written - number}
        return [last[sequence] for sequence in sorted(last)]

    def after(self, offset: int) -> list[StoredFrame]:
        return self.frames[max(0, offset - self.trimmed) :]


class MemoryJournal:
    """Implements `ports.journal.Journal` for one process and one event loop.

    With `repeats` it carries frames as a carrier outside the store may: behind each frame the last so many come again, at
    new offsets, with the producer and sequence they had. None is lost.
    """

    traits = JournalTraits(
        atomic_append=True,
        survives_process_kill=False,
        survives_power_loss=False,
        failure_model="Everything lives in one process and is gone when it ends; meant for tests and simulation.",
    )

    def __init__(self, clock: Clock, partitions: int, *, repeats: int = 0) -> None:
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
        self.partitions = partitions
        self._clock = clock
        self._growth = Growth(lambda: {key: stream.head for key, stream in self._streams.items()})
        self._closed = False
        self._repeats = repeats
        self._streams: dict[tuple[str, int], _Stream] = defaultdict(_Stream)
        self._positions: dict[tuple[str, int, str], Position] = {}
        self._leases = MemoryLeases(clock)
        self._timers: dict[bytes, Timer] = {}
        self._due: list[tuple[int, int, bytes]] = []
        self._timers_set = 0
        self._idempotency: dict[tuple[str, str], IdempotencyEntry] = {}
        self._cancellations: list[tuple[int, Cancellation]] = []
        self._cancelled = 0
        self._cursors: dict[bytes, Cursor] = {}
        self._cells = MemoryCells()
        self._intents: dict[tuple[str, int], dict[int, bytes]] = defaultdict(dict)

    async def append(self, batch: Append) -> list[int]:
        """Store the batch and return the offsets of its frames. Raises `StaleLease`, `StaleCursor`,
        `StaleKey` or `StaleCaps`."""
        self._refuse_when_closed()
        self._check_leases(batch)
        moved = dict(self._cursors)
        for move in batch.moves:
            moved[move.cursor_id] = self._moved(moved.get(move.cursor_id), move)
        remembered = self._remembered(batch.idempotency)
        blocks = self._cells.changed(batch.caps)
        self._cursors = moved
        self._idempotency.update(remembered)
        offsets = [self._put(frame) for frame in batch.frames]
        for commit in batch.commits:
            self._commit(commit)
        for write in batch.intents:
            self._write_intents(write)
        for timer in batch.timers:
            if timer.timer_id not in self._timers:
                self._timers[timer.timer_id] = timer
                self._timers_set += 1
                heappush(self._due, (timer.due_ms, self._timers_set, timer.timer_id))
        for cancellation in batch.cancellations:
            self._cancelled += 1
            self._cancellations.append((self._cancelled, cancellation))
        for cursor in batch.cursors:
            self._cursors.setdefault(cursor.cursor_id, cursor)
        for signal in batch.signals:
            for topic, partition in self._cells.streams(signal, self._clock.now_ms()):
                self._put(Frame(topic, partition, 1, signal.payload))
        self._cells.store(batch, blocks)
        self._growth.grew()
        return offsets

    def read(self, topic: str, partition: int, after: int, limit_frames: int = 64) -> list[StoredFrame]:
        """Return up to `limit_frames` frames with offsets above `after`, in order."""
        frames: list[StoredFrame] = []
        room = JOURNAL_READ_BYTES_MAX
        for frame in self._streams[topic, partition].after(after)[:limit_frames]:
            room -= len(frame.payload)
            if frames and room < 0:
                break
            frames.append(frame)
        return frames

    def since(self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        older = sum(frame.appended_ms < appended_ms for frame in self._streams[topic, partition].frames)
        return self.read(topic, partition, self._streams[topic, partition].trimmed + older, limit_frames)

    def head(self, topic: str, partition: int) -> int:
        """Return the newest offset of a stream, 0 when it is empty."""
        return self._streams[topic, partition].head

    def committed(self, group: str, partition: int) -> dict[str, Position]:
        """Return the group's committed position per topic."""
        return {topic: at for (g, p, topic), at in self._positions.items() if (g, p) == (group, partition)}

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order."""
        entries = self._intents[group, partition]
        later = sorted(number for number in entries if number > after)[:INTENT_ENTRIES_PER_READ_MAX]
        return [IntentEntry(number, entries[number]) for number in later]

    def backlog(self, group: str) -> int:
        """Return how many events the group has not committed yet."""
        keys = {(topic, p) for topic in GROUP_TOPICS.get(group, ()) for p in range(self.partitions)}
        keys |= {(topic, p) for g, p, topic in self._positions if g == group}
        waiting = (self._streams[key].after(self._offset(group, *key)) for key in keys)
        return sum(frame.count for frames in waiting for frame in frames)

    def watch(self, topics: Collection[str] = (), partition: int | None = None) -> GrowthWatch:
        """Return a watch of its own for one consumer loop."""
        partitions = range(self.partitions) if partition is None else (partition,)
        return self._growth.watch(streams_of(topics, partitions) if topics else None)

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Take a free or expired lease, or the owner's own, with a new fence; None while another owner holds it."""
        return self._leases.acquire(group, partition, owner, ttl_ms)

    async def renew(self, leases: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held."""
        return self._leases.renew(leases, ttl_ms)

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back at once."""
        self._leases.release(leases)

    async def vacate(self, owners: Collection[str]) -> int:
        """Let the leases of dead owners expire at once and return how many still ran."""
        return self._leases.vacate(owners)

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many."""
        ripe = []
        while self._due and self._due[0][0] <= now_ms:
            ripe.append(heappop(self._due))
        ripe.sort(key=lambda entry: (urgency(self._timers[entry[2]].topic), entry[0]))
        for later in ripe[limit:]:
            heappush(self._due, later)
        due = [self._timers.pop(timer_id) for _, _, timer_id in ripe[:limit]]
        for timer in due:
            self._put(Frame(timer.topic, timer.partition, 1, timer.payload))
        self._growth.grew()
        return len(due)

    def next_due_ms(self) -> int | None:
        """Return when the earliest timer is due."""
        return self._due[0][0] if self._due else None

    def cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the sequence number to go on from and the subject ids cancelled after `sequence`."""
        later = [(n, c.subject_id) for n, c in self._cancellations if n > sequence][:CANCELLATIONS_PER_READ_MAX]
        return (later[-1][0] if later else sequence), [subject_id for _, subject_id in later]

    def idempotency(self, tenant: str, key: str, now_ms: int) -> IdempotencyEntry | None:
        """Return the remembered entry of a key that has not expired."""
        entry = self._idempotency.get((tenant, key))
        return entry if entry is not None and entry.expires_ms > now_ms else None

    def cursor(self, cursor_id: bytes) -> Cursor | None:
        """Return a cursor by id."""
        return self._cursors.get(cursor_id)

    def cursors(self, partition: int | None = None, status: str | None = None) -> list[Cursor]:
        """Return cursors, oldest first, filtered by partition and status."""
        found = (c for c in self._cursors.values() if partition in (None, c.partition) and status in (None, c.status))
        return sorted(found, key=lambda cursor: (cursor.created_ms, cursor.cursor_id))

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was."""
        cursor = self._cursors.get(cursor_id)
        if cursor is None or cursor.status not in allowed_from:
            return False
        self._cursors[cursor_id] = msgspec.structs.replace(cursor, status=status, updated_ms=now_ms)
        return True

    async def trim(self, older_than_ms: int) -> int:
        """Delete old frames that are done with, expired idempotency entries and waits, and old cancellations."""
        before = sum(len(stream.frames) for stream in self._streams.values())
        for (topic, partition), stream in self._streams.items():
            floors = [at.offset for (_, p, t), at in self._positions.items() if (t, p) == (topic, partition)]
            while stream.frames and floors and stream.trimmed < min(floors):
                if stream.frames[0].appended_ms >= older_than_ms:
                    break
                del stream.frames[0]
                stream.trimmed += 1
        now_ms = self._clock.now_ms()
        self._cells.trim(now_ms)
        self._idempotency = {key: entry for key, entry in self._idempotency.items() if entry.expires_ms > now_ms}
        self._cancellations = [
            (n, c)
            for n, c in self._cancellations
            if c.at_ms >= older_than_ms - HOLD_MS_MAX or c.subject_id in self._timers
        ]
        return before - sum(len(stream.frames) for stream in self._streams.values())

    def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of the keys that have one."""
        return self._cells.cells(partition, keys)

    def cells_under(self, partition: int, prefix: bytes, limit: int, after: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Return cells whose keys begin with `prefix` and stand above `after`, in order."""
        return self._cells.cells_under(partition, prefix, limit, after)

    def waits(self, tenant: str, key: bytes, limit: int = 1_000) -> list[Wait]:
        """Return who waits for a key, those that expired left out."""
        return self._cells.waits(tenant, key, self._clock.now_ms(), limit)

    def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        """Return the cap times of those of the blocks that someone wrote."""
        return self._cells.caps(tenant, rule, blocks)

    async def close(self) -> None:
        """Refuse further appends."""
        self._closed = True

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise DurabilityError("the journal is closed")

    def _put(self, frame: Frame) -> int:
        stream = self._streams[frame.topic, frame.partition]
        newest_ms = stream.frames[-1].appended_ms if stream.frames else 0
        appended_ms = max(self._clock.now_ms(), newest_ms)
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

    def _commit(self, commit: Commit) -> None:
        lease = commit.lease
        if commit.offset >= self._offset(lease.group, commit.topic, lease.partition):
            self._positions[lease.group, lease.partition, commit.topic] = Position(commit.offset, dict(commit.numbers))

    def _write_intents(self, write: IntentWrite) -> None:
        place = write.lease.group, write.lease.partition
        entries = self._intents[place] | {entry.number: entry.payload for entry in write.entries}
        self._intents[place] = {number: payload for number, payload in entries.items() if number >= write.below}

    def _offset(self, group: str, topic: str, partition: int) -> int:
        position = self._positions.get((group, partition, topic))
        return 0 if position is None else position.offset

    def _moved(self, cursor: Cursor | None, move: CursorMove) -> Cursor:
        if cursor is None or cursor.status != "running" or cursor.position != move.from_position:
            raise StaleCursor(f"cursor {move.cursor_id.hex()} is not running at {move.from_position}")
        return msgspec.structs.replace(
            cursor,
            position=move.position,
            planned=cursor.planned + move.planned,
            skipped=cursor.skipped + move.skipped,
            users=cursor.users + move.users,
            status="done" if move.done else cursor.status,
            updated_ms=self._clock.now_ms(),
        )

    def _remembered(self, entries: Sequence[IdempotencyEntry]) -> dict[tuple[str, str], IdempotencyEntry]:
        remembered: dict[tuple[str, str], IdempotencyEntry] = {}
        stale: set[tuple[str, str]] = set()
        for entry in entries:
            place = (entry.tenant, entry.key)
            known = remembered.get(place) or self._idempotency.get(place)
            if known is None or known.expires_ms <= self._clock.now_ms():
                remembered[place] = entry
            elif (known.body_hash, known.answer) != (entry.body_hash, entry.answer):
                stale.add(place)
        if stale:
            raise StaleKey(frozenset(stale))
        return remembered

    def _check_leases(self, batch: Append) -> None:
        named = [commit.lease for commit in batch.commits] + [move.lease for move in batch.moves]
        named += [write.lease for write in batch.intents]
        self._leases.check([*named, batch.lease] if batch.lease is not None else named)
