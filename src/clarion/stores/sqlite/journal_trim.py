"""Retention: deletes old rows that are no longer needed, a bounded number per transaction."""

from typing import Final

import apsw

from clarion.domain.limits import HOLD_MS_MAX
from clarion.domain.limits_processes import TRIM_ROWS_PER_COMMIT_MAX
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.journal_streams import StreamRow, find_id, first_since, frame_id

_STREAM_FLOORS: Final = """SELECT stream_id, min(c."offset") FROM streams JOIN commits c USING (topic, partition)
    GROUP BY stream_id"""
_TRIMMED: Final = """UPDATE streams SET trimmed_offset = ?, trimmed_total = (SELECT total FROM frames WHERE frame_id = ?)
    WHERE stream_id = ?"""
_DELETE: Final = "DELETE FROM frames WHERE frame_id > ? AND frame_id <= ?"
_EXPIRED: Final = """DELETE FROM idempotency WHERE (tenant, key) IN
    (SELECT tenant, key FROM idempotency WHERE expires_ms <= ? LIMIT ?)"""
_EXPIRED_WAITS: Final = """DELETE FROM waits WHERE (tenant, key, subject) IN
    (SELECT tenant, key, subject FROM waits WHERE expires_ms <= ? LIMIT ?)"""
_OLD_CANCELLATIONS: Final = """DELETE FROM cancellations WHERE sequence IN
    (SELECT sequence FROM cancellations c WHERE at_ms < ?
     AND NOT EXISTS (SELECT 1 FROM timers t WHERE t.timer_id = c.subject_id) LIMIT ?)"""


def trim_frames(db: apsw.Connection, older_than_ms: int) -> int:
    """Delete a bounded number of older frames that every group on their stream has committed; return the number
    deleted."""
    room = TRIM_ROWS_PER_COMMIT_MAX
    for stream_id, committed in fetch_all(db, _STREAM_FLOORS):
        stream = find_id(db, stream_id)
        if stream.trimmed_offset < min(committed, stream.offset):
            room -= _trim_stream(db, stream, committed, older_than_ms, room)
        if room == 0:
            break
    return TRIM_ROWS_PER_COMMIT_MAX - room


def trim_entries(db: apsw.Connection, older_than_ms: int, now_ms: int) -> int:
    """Delete a bounded number of expired idempotency entries and waits and of old cancellations; return the number
    deleted."""
    before = db.total_changes()
    db.execute(_EXPIRED, (now_ms, TRIM_ROWS_PER_COMMIT_MAX))
    db.execute(_EXPIRED_WAITS, (now_ms, TRIM_ROWS_PER_COMMIT_MAX))
    db.execute(_OLD_CANCELLATIONS, (older_than_ms - HOLD_MS_MAX, TRIM_ROWS_PER_COMMIT_MAX))
    return db.total_changes() - before


def _trim_stream(db: apsw.Connection, stream: StreamRow, committed: int, older_than_ms: int, room: int) -> int:
    old = first_since(db, stream, older_than_ms) - 1
    last = min(old, committed, stream.trimmed_offset + room)
    if last <= stream.trimmed_offset:
        return 0
    last_id = frame_id(stream.stream_id, last)
    db.execute(_TRIMMED, (last, last_id, stream.stream_id))
    db.execute(_DELETE, (frame_id(stream.stream_id, 0), last_id))
    return last - stream.trimmed_offset
