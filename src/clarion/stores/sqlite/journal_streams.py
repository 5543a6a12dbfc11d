"""Storage of streams in `journal.db`: a frame's rowid is its stream's id followed by 40 bits of offset."""

from typing import Final, NamedTuple

import apsw

from clarion.stores.sqlite.connection import fetch_all, fetch_one

OFFSET_BITS: Final = 40
"""Low bits of a rowid that hold the offset."""
_OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1

_FIND: Final = f"""SELECT s.stream_id, s.trimmed_offset, s.trimmed_total, f.frame_id, f.total, f.appended_ms
    FROM streams s LEFT JOIN frames f ON f.frame_id = (
        SELECT frame_id FROM frames
        WHERE frame_id > s.stream_id << {OFFSET_BITS} AND frame_id < (s.stream_id + 1) << {OFFSET_BITS}
        ORDER BY frame_id DESC LIMIT 1)"""  # noqa: S608 - a constant
_FIND_ONE: Final = f"{_FIND} WHERE s.topic = ? AND s.partition = ?"
_FIND_ID: Final = f"{_FIND} WHERE s.stream_id = ?"


class StreamRow(NamedTuple):
    """A stream and its newest frame; `trimmed_offset` is the offset of the last trimmed frame, totals count events."""

    stream_id: int
    trimmed_offset: int
    trimmed_total: int
    offset: int
    total: int
    appended_ms: int


def frame_id(stream_id: int, offset: int) -> int:
    """Return a frame's rowid; that of offset 0 is before the stream's first frame."""
    return stream_id << OFFSET_BITS | offset


def offset_of(rowid: int) -> int:
    """Return the offset in a frame's rowid."""
    return rowid & _OFFSET_MASK


def find(db: apsw.Connection, topic: str, partition: int) -> StreamRow | None:
    """Return a stream, or None before its first frame or commit."""
    row = fetch_one(db, _FIND_ONE, (topic, partition))
    return None if row is None else _stream(*row)


def find_id(db: apsw.Connection, stream_id: int) -> StreamRow:
    """Return a stream that is known to exist."""
    (row,) = fetch_all(db, _FIND_ID, (stream_id,))
    return _stream(*row)


def first_since(db: apsw.Connection, stream: StreamRow, appended_ms: int) -> int:
    """Return the offset of the first frame appended at or after a time, or the offset after the newest frame.

    Offsets have no gaps and times never decrease within a stream, so this is a binary search.
    """
    low, high = stream.trimmed_offset + 1, stream.offset + 1
    while low < high:
        middle = (low + high) // 2
        rowid = frame_id(stream.stream_id, middle)
        ((middle_ms,),) = fetch_all(db, "SELECT appended_ms FROM frames WHERE frame_id = ?", (rowid,))
        if middle_ms < appended_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _stream(
    stream_id: int,
    trimmed_offset: int,
    trimmed_total: int,
    rowid: int | None,
    total: int | None,
    appended_ms: int | None,
) -> StreamRow:
    if rowid is None or total is None or appended_ms is None:
        return StreamRow(stream_id, trimmed_offset, trimmed_total, trimmed_offset, trimmed_total, 0)
    return StreamRow(stream_id, trimmed_offset, trimmed_total, offset_of(rowid), total, appended_ms)
