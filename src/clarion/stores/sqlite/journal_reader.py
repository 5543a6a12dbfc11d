"""Reads of the journal: over their own connection in the calling thread, cheap and never blocking."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import apsw
import msgspec

from clarion.domain.limits_processes import (
    CANCELLATIONS_PER_READ_MAX,
    ENROLLED_MS,
    JOURNAL_READ_BYTES_MAX,
    LEASE_TTL_MS_MAX,
)
from clarion.journal.topics import CANCELLATIONS, CURSORS, GROUP_TOPICS, TIMERS, URGENCIES
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import AtWork, Cursor, IdempotencyEntry, IntentEntry, Position
from clarion.ports.streams import StoredFrame
from clarion.stores.sqlite import journal_cells as cells
from clarion.stores.sqlite.connection import fetch_all, fetch_one
from clarion.stores.sqlite.journal_intents import read_intents
from clarion.stores.sqlite.journal_streams import OFFSET_BITS, find, first_since, frame_id, offset_of

_FRAMES: Final = """SELECT frame_id, count, appended_ms, payload FROM frames
    WHERE frame_id > ? AND frame_id < ? ORDER BY frame_id LIMIT ?"""
_HEADS: Final = f"""SELECT topic, partition, (SELECT max(frame_id) FROM frames
    WHERE frame_id > stream_id << {OFFSET_BITS} AND frame_id < (stream_id + 1) << {OFFSET_BITS}) FROM streams"""  # noqa: S608 - a constant
_MARKERS: Final = """SELECT (SELECT max(sequence) FROM timers), (SELECT max(sequence) FROM cancellations),
    (SELECT max(updated_ms) FROM cursors)"""
_STREAM_ID: Final = "SELECT stream_id FROM streams WHERE topic = ? AND partition = ?"
_COMMITTED: Final = 'SELECT topic, "offset", numbers FROM commits WHERE "group" = ? AND partition = ?'
_COMMITTED_OFFSETS: Final = 'SELECT topic, partition, "offset" FROM commits WHERE "group" = ?'
_TOTAL_AT: Final = "SELECT total FROM frames WHERE frame_id = ?"
_NEXT_DUE: Final = "SELECT due_ms FROM timers WHERE urgency = ? ORDER BY due_ms LIMIT 1"
_CANCELLED: Final = "SELECT sequence, subject_id FROM cancellations WHERE sequence > ? ORDER BY sequence LIMIT ?"
_IDEMPOTENCY: Final = "SELECT * FROM idempotency WHERE tenant = ? AND key = ? AND expires_ms > ?"
_CURSORS: Final = """SELECT * FROM cursors WHERE (?1 IS NULL OR partition = ?1) AND (?2 IS NULL OR status = ?2)
    ORDER BY created_ms, cursor_id"""
_GROUPS: Final = 'SELECT DISTINCT "group" FROM leases WHERE expires_monotonic_ms > ? AND expires_monotonic_ms <= ?'
_PROCESSES: Final = "SELECT process FROM processes WHERE expires_monotonic_ms > ? AND expires_monotonic_ms <= ?"
_NUMBERS: Final = msgspec.msgpack.Decoder(dict[str, int]).decode


def cancelled_since(db: apsw.Connection, sequence: int) -> tuple[int, list[bytes]]:
    """Return the next sequence number to read after and the subject ids cancelled after `sequence`."""
    rows = fetch_all(db, _CANCELLED, (sequence, CANCELLATIONS_PER_READ_MAX))
    return (rows[-1][0] if rows else sequence), [subject_id for _, subject_id in rows]


class JournalReader:
    """The read half of the journal port over one connection."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._closed = False
        self._stream_ids: dict[tuple[str, int], int] = {}
        self._data_version = 0

    def at_work(self, monotonic_ms: int) -> AtWork:
        """Return who is at work at a time of the monotonic clock."""
        groups = fetch_all(self._db, _GROUPS, (monotonic_ms, monotonic_ms + LEASE_TTL_MS_MAX))
        processes = fetch_all(self._db, _PROCESSES, (monotonic_ms, monotonic_ms + ENROLLED_MS))
        return AtWork(frozenset(row[0] for row in groups), frozenset(row[0] for row in processes))

    def read(self, topic: str, partition: int, after: int, limit_frames: int) -> list[StoredFrame]:
        """Return frames with offsets above `after`, up to the limits, and at least one if any exists."""
        stream_id = self._stream_id(topic, partition)
        if stream_id is None:
            return []
        frames: list[StoredFrame] = []
        size = 0
        rows: Any = self._db.execute(_FRAMES, (frame_id(stream_id, after), frame_id(stream_id + 1, 0), limit_frames))
        for rowid, count, appended_ms, payload in rows:
            size += len(payload)
            if frames and size > JOURNAL_READ_BYTES_MAX:
                rows.close()  # an open statement would hold this snapshot and keep the log from being checkpointed
                break
            offset = offset_of(rowid)
            frames.append(StoredFrame(topic, partition, offset, count, appended_ms, payload, "", offset))
        return frames

    def since(self, topic: str, partition: int, appended_ms: int, limit_frames: int) -> list[StoredFrame]:
        """Return frames appended at or after a time."""
        with self._snapshot():  # one snapshot: a trim in between would delete a frame that the search is about to read
            stream = find(self._db, topic, partition)
            first = 1 if stream is None else first_since(self._db, stream, appended_ms)
            return self.read(topic, partition, first - 1, limit_frames)

    def head(self, topic: str, partition: int) -> int:
        """Return the newest offset of a stream."""
        stream = find(self._db, topic, partition)
        return 0 if stream is None else stream.offset

    def heads(self) -> dict[tuple[str, int], int]:
        """Return the rowid of the newest frame of each stream that has any, and a number for each marker; empty once closed."""
        if self._closed:
            return {}
        heads = {(topic, partition): rowid or 0 for topic, partition, rowid in fetch_all(self._db, _HEADS)}
        ((timers, cancellations, cursors),) = fetch_all(self._db, _MARKERS)
        return heads | {(TIMERS, 0): timers or 0, (CANCELLATIONS, 0): cancellations or 0, (CURSORS, 0): cursors or 0}

    def others_committed(self) -> bool:
        """Return whether another connection has committed since the last call; False once closed."""
        before = self._data_version
        self._data_version = before if self._closed else self._db.pragma("data_version")
        return self._data_version != before

    def committed(self, group: str, partition: int) -> dict[str, Position]:
        """Return the group's committed position per topic."""
        rows = fetch_all(self._db, _COMMITTED, (group, partition))
        return {
            topic: Position(offset, {} if numbers is None else _NUMBERS(numbers)) for topic, offset, numbers in rows
        }

    def open_intents(self, group: str, partition: int, after: int) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order."""
        return read_intents(self._db, group, partition, after)

    def backlog(self, group: str, partitions: int) -> int:
        """Return the number of events the group has not committed, computed from running totals, not by counting
        frames."""
        with self._snapshot():
            rows = fetch_all(self._db, _COMMITTED_OFFSETS, (group,))
            offsets = {(topic, partition): offset for topic, partition, offset in rows}
            keys = offsets.keys() | {(topic, p) for topic in GROUP_TOPICS.get(group, ()) for p in range(partitions)}
            return sum(self._waiting(key, offsets.get(key, 0)) for key in keys)

    def next_due_ms(self) -> int | None:
        """Return when the earliest timer is due, or None without timers."""
        rows = [fetch_one(self._db, _NEXT_DUE, (urgency,)) for urgency in URGENCIES]
        return min((row[0] for row in rows if row is not None), default=None)

    def cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the next sequence number to read after and the subject ids cancelled after `sequence`."""
        return cancelled_since(self._db, sequence)

    def idempotency(self, tenant: str, key: str, now_ms: int) -> IdempotencyEntry | None:
        """Return the entry of a key, or None when there is none or it has expired."""
        row = fetch_one(self._db, _IDEMPOTENCY, (tenant, key, now_ms))
        return None if row is None else IdempotencyEntry(*row)

    def cursor(self, cursor_id: bytes) -> Cursor | None:
        """Return a cursor by id, or None."""
        row = fetch_one(self._db, "SELECT * FROM cursors WHERE cursor_id = ?", (cursor_id,))
        return None if row is None else Cursor(*row)

    def cursors(self, partition: int | None, status: str | None) -> list[Cursor]:
        """Return cursors, oldest first."""
        return [Cursor(*row) for row in fetch_all(self._db, _CURSORS, (partition, status))]

    def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of the keys that exist."""
        return cells.read_cells(self._db, partition, keys)

    def cells_under(self, partition: int, prefix: bytes, limit: int, after: bytes) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` cells whose keys begin with `prefix` and are above `after`, in order."""
        return cells.read_cells_under(self._db, partition, prefix, limit, after)

    def waits(self, tenant: str, key: bytes, now_ms: int, limit: int) -> list[Wait]:
        """Return the waits for a key."""
        return cells.read_waits(self._db, tenant, key, now_ms, limit)

    def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        """Return the cap times of those of the blocks that exist."""
        return cells.read_caps(self._db, tenant, rule, blocks)

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._db.close()

    def _waiting(self, key: tuple[str, int], committed: int) -> int:
        stream = find(self._db, *key)
        if stream is None or committed >= stream.offset:
            return 0
        row = fetch_one(self._db, _TOTAL_AT, (frame_id(stream.stream_id, committed),))
        return stream.total - (stream.trimmed_total if row is None else int(row[0]))

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        with self._db:
            yield

    def _stream_id(self, topic: str, partition: int) -> int | None:
        key = (topic, partition)
        stream_id = self._stream_ids.get(key)
        if stream_id is None:
            row = fetch_one(self._db, _STREAM_ID, key)
            if row is None:
                return None
            # Safe to cache: a reader sees only committed rows, and streams are never deleted.
            stream_id = self._stream_ids[key] = int(row[0])
        return stream_id
