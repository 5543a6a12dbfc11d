"""The writer's transaction: storing one step, and firing due timers."""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import msgspec

from clarion.journal.topics import CANCELLATIONS, CURSORS, TIMERS, URGENCIES, urgency
from clarion.ports.journal_cells import Signal
from clarion.ports.stage_store import (
    Commit,
    Committed,
    CursorMove,
    IdempotencyEntry,
    PlanState,
    StageResult,
    StaleCursor,
    StaleKey,
)
from clarion.ports.streams import Frame
from clarion.stores.sqlite import journal_cells as cells
from clarion.stores.sqlite import journal_leases as leases
from clarion.stores.sqlite.connection import fetch_all, fetch_one
from clarion.stores.sqlite.journal_intents import write_intents
from clarion.stores.sqlite.journal_reader import cancelled_since
from clarion.stores.sqlite.journal_streams import StreamRow, find, frame_id

_FRAME = "INSERT INTO frames (frame_id, appended_ms, count, total, payload) VALUES (?, ?, ?, ?, ?)"
_COMMIT = """INSERT INTO commits ("group", partition, topic, "offset", numbers) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET "offset" = excluded."offset", numbers = excluded.numbers
    WHERE excluded."offset" >= commits."offset" """
_TIMER = "INSERT OR IGNORE INTO timers (timer_id, due_ms, topic, partition, payload, urgency) VALUES (?, ?, ?, ?, ?, ?)"
_IDEMPOTENCY = """INSERT INTO idempotency (tenant, key, body_hash, answer, expires_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer, expires_ms = excluded.expires_ms
    WHERE idempotency.expires_ms <= ?"""
_REMEMBERED = "SELECT body_hash, answer FROM idempotency WHERE tenant = ? AND key = ?"
_CANCELLATION = "INSERT INTO cancellations (tenant, subject_id, at_ms) VALUES (?, ?, ?)"
_CURSOR = "INSERT OR IGNORE INTO cursors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MOVE = """UPDATE cursors SET position = ?, planned = planned + ?, skipped = skipped + ?, users = users + ?,
    status = CASE WHEN ? THEN 'done' ELSE status END, updated_ms = ?
    WHERE cursor_id = ? AND position = ? AND status = 'running' RETURNING 1"""
_STATUS = """UPDATE cursors SET status = ?, updated_ms = ?
    WHERE cursor_id = ? AND status IN (SELECT value FROM json_each(?)) RETURNING 1"""
DUE = """SELECT sequence, topic, partition, payload FROM timers WHERE urgency = ? AND due_ms <= ?
    ORDER BY due_ms, sequence LIMIT ?"""


class Transaction:
    """One write transaction of the journal and the streams it has touched so far.

    Heads of streams are read under SQLite's write lock, so processes that share the file allocate gapless offsets.
    """

    def __init__(self, db: apsw.Connection, now_ms: int, monotonic_ms: int) -> None:
        self.db = db
        self.now_ms = now_ms
        self.monotonic_ms = monotonic_ms
        self._streams: dict[tuple[str, int], StreamRow] = {}
        self.grown: set[tuple[str, int]] = set()
        """Streams and markers that this transaction changed, including changes that may have been rolled back."""

    def commit(self, result: StageResult) -> Committed:
        """Store all of a step and return its result. Raises `StaleLease`, `StaleCursor`, `StaleKey` or
        `StaleCaps`; the caller then rolls back."""
        progress, accept_state, broadcasts = result.progress, result.accept_state, result.broadcasts
        self._check_leases(result)
        for move in broadcasts.moves:
            self._move(move)
        offsets = self.put(result.frames)
        if progress.commits:
            self.db.executemany(_COMMIT, [_position(commit) for commit in progress.commits])
        for write in progress.intents:
            write_intents(self.db, write)
        if result.timers:
            rows = [(*msgspec.structs.astuple(timer), urgency(timer.topic)) for timer in result.timers]
            self.db.executemany(_TIMER, rows)
            self.grown.add((TIMERS, 0))
        if accept_state.idempotency:
            self._remember(accept_state.idempotency)
        if accept_state.cancellations:
            rows = [msgspec.structs.astuple(cancellation) for cancellation in accept_state.cancellations]
            self.db.executemany(_CANCELLATION, rows)
            self.grown.add((CANCELLATIONS, 0))
        if broadcasts.cursors:
            self.db.executemany(_CURSOR, [msgspec.structs.astuple(cursor) for cursor in broadcasts.cursors])
            self.grown.add((CURSORS, 0))
        self._write_plan_state(result.plan_state)
        if result.cancellations_after is None:
            return Committed(offsets)
        # No other transaction writes before this one is durable, so every earlier cancellation is visible here.
        return Committed(offsets, cancelled_since(self.db, result.cancellations_after))

    def put(self, frames: Iterable[Frame]) -> list[int]:
        """Append frames to their streams and return their offsets."""
        offsets, rows = [], []
        for frame in frames:
            stream = self._stream(frame.topic, frame.partition)
            offset, total = stream.offset + 1, stream.total + frame.count
            # Times never decrease within a stream, so `first_since` can use a binary search.
            appended_ms = max(self.now_ms, stream.appended_ms)
            self._streams[frame.topic, frame.partition] = StreamRow(*stream[:3], offset, total, appended_ms)
            self.grown.add((frame.topic, frame.partition))
            offsets.append(offset)
            rows.append((frame_id(stream.stream_id, offset), appended_ms, frame.count, total, frame.payload))
        self.db.executemany(_FRAME, rows)
        return offsets

    def fire(self, now_ms: int, limit: int) -> int:
        """Move due timers to their streams and return their number."""
        due: list[tuple[Any, ...]] = []
        for most_urgent in URGENCIES:
            if len(due) < limit:
                due += fetch_all(self.db, DUE, (most_urgent, now_ms, limit - len(due)))
        self.put(Frame(topic, partition, 1, payload) for _, topic, partition, payload in due)
        self.db.executemany("DELETE FROM timers WHERE sequence = ?", [(row[0],) for row in due])
        return len(due)

    def set_cursor_status(self, values: tuple[str, int, bytes, str]) -> bool:
        """Change a cursor's status and return whether it was changed. `values` are the new status, the time, the
        cursor's id and the allowed old statuses (JSON)."""
        self.grown.add((CURSORS, 0))
        return bool(fetch_all(self.db, _STATUS, values))

    def _check_leases(self, result: StageResult) -> None:
        named = {commit.lease for commit in result.progress.commits}
        named.update(move.lease for move in result.broadcasts.moves)
        named.update(write.lease for write in result.progress.intents)
        if result.lease is not None:
            named.add(result.lease)
        leases.check(self.db, named, self.monotonic_ms)

    def _remember(self, entries: Sequence[IdempotencyEntry]) -> None:
        stale: set[tuple[str, str]] = set()
        for entry in entries:
            self.db.execute(_IDEMPOTENCY, (*msgspec.structs.astuple(entry), self.now_ms))
            if not self.db.changes() and not self._holds(entry):
                stale.add((entry.tenant, entry.key))
        if stale:
            raise StaleKey(frozenset(stale))

    def _holds(self, entry: IdempotencyEntry) -> bool:
        return fetch_one(self.db, _REMEMBERED, (entry.tenant, entry.key)) == (entry.body_hash, entry.answer)

    def _write_plan_state(self, kept: PlanState) -> None:
        if kept.caps:
            cells.write_caps(self.db, kept.caps)
        if kept.cells:
            cells.write_cells(self.db, kept.cells)
        for signal in kept.signals:
            self._signal(signal)
        if kept.ended_waits or kept.waits:
            cells.write_waits(self.db, kept.ended_waits, kept.waits)

    def _signal(self, signal: Signal) -> None:
        streams = cells.streams_of(self.db, signal, self.now_ms)
        self.put(Frame(topic, partition, 1, signal.payload) for topic, partition in streams)

    def _move(self, move: CursorMove) -> None:
        values = (move.position, move.planned, move.skipped, move.users, move.done, self.now_ms)
        if not fetch_all(self.db, _MOVE, (*values, move.cursor_id, move.from_position)):
            raise StaleCursor(f"cursor {move.cursor_id.hex()} is not running at {move.from_position}")

    def _stream(self, topic: str, partition: int) -> StreamRow:
        key = (topic, partition)
        stream = self._streams.get(key)
        if stream is None:
            stream = find(self.db, topic, partition)
        if stream is None:
            self.db.execute("INSERT INTO streams (topic, partition) VALUES (?, ?)", key)
            stream = StreamRow(self.db.last_insert_rowid(), 0, 0, 0, 0, 0)
        self._streams[key] = stream
        return stream


def _position(commit: Commit) -> tuple[str, int, str, int, bytes | None]:
    numbers = msgspec.msgpack.encode(commit.numbers) if commit.numbers else None
    return commit.lease.group, commit.lease.partition, commit.topic, commit.offset, numbers
