"""A table of open intents, which so far had to be searched for in `outcomes`, and the sequence numbers of producers.

A group's mark was the offset in `outcomes` from which its recovery had to read. Intents above it are put into the new
table, where deliveries are still uncommitted; then the marks are dropped.
"""

from collections.abc import Iterable
from typing import Any, Final

from alembic import op

from clarion.domain.errors import CorruptFrame
from clarion.journal.codec import decode
from clarion.journal.intents import encode_intents
from clarion.journal.topics import OUTCOMES

revision = "journal_0003"
down_revision = "journal_0002"

_OFFSET_BITS: Final = 40
_CLOCKS_APART_MS: Final = 60_000
"""How much older than its frame an intent may appear when the clocks of two machines differ."""
_INTENTS: Final = """CREATE TABLE intents (
    "group" TEXT NOT NULL, partition INTEGER NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY ("group", partition, number)) WITHOUT ROWID"""
_COMMITS: Final = (
    "ALTER TABLE commits RENAME TO marked",
    """CREATE TABLE commits (
        "group" TEXT NOT NULL, partition INTEGER NOT NULL, topic TEXT NOT NULL, "offset" INTEGER NOT NULL,
        numbers BLOB, PRIMARY KEY ("group", partition, topic)) WITHOUT ROWID""",
    'INSERT INTO commits SELECT "group", partition, topic, "offset", NULL FROM marked',
    "DROP TABLE marked",
)
_OLDEST: Final = """SELECT s.topic, s.partition, min(f.appended_ms) FROM streams s
    LEFT JOIN commits c ON c.topic = s.topic AND c.partition = s.partition AND s.topic LIKE c."group" || '.%'
    JOIN frames f ON f.frame_id = (s.stream_id << ?) + max(coalesce(c."offset", 0), s.trimmed_offset) + 1
    WHERE s.topic LIKE 'deliver.%' GROUP BY s.topic, s.partition"""
_MARK: Final = 'SELECT min(mark) FROM commits WHERE "group" = ? AND partition = ?'
_OUTCOMES: Final = """SELECT payload FROM frames
    WHERE frame_id > (SELECT stream_id << ? FROM streams WHERE topic = ? AND partition = ?) + ?
    AND frame_id < (SELECT stream_id + 1 << ? FROM streams WHERE topic = ? AND partition = ?)
    AND appended_ms >= ? ORDER BY frame_id"""


def upgrade() -> None:
    """Add the table and the column, and copy the intents that the marks pointed at."""
    _run(_INTENTS)
    for (group, partition), oldest_ms in _uncommitted().items():
        _keep(group, partition, oldest_ms)
    for statement in _COMMITS:
        _run(statement)


def _uncommitted() -> dict[tuple[str, int], int]:
    """Return when the oldest uncommitted frame of each group and partition was appended."""
    oldest: dict[tuple[str, int], int] = {}
    for topic, partition, appended_ms in _run(_OLDEST, _OFFSET_BITS):
        place = topic.rpartition(".")[0], partition
        oldest[place] = min(appended_ms, oldest.get(place, appended_ms))
    return oldest


def _keep(group: str, partition: int, oldest_ms: int) -> None:
    ((mark,),) = _run(_MARK, group, partition)
    stream = (_OFFSET_BITS, OUTCOMES, partition)
    number = 0
    for (payload,) in _run(_OUTCOMES, *stream, mark or 0, *stream, oldest_ms - _CLOCKS_APART_MS):
        kept = _told(bytes(payload), group.removeprefix("deliver."))
        if kept:
            number += 1
            _run("INSERT INTO intents VALUES (?, ?, ?, ?)", group, partition, number, kept)


def _told(payload: bytes, channel: str) -> bytes:
    """Return the encoded intents and results of a frame on the channel; empty for a damaged frame, which
    cannot be read."""
    try:
        event = decode(payload)
    except CorruptFrame:
        return b""
    return encode_intents([event]) if getattr(event, "channel", None) == channel else b""


def _run(statement: str, *values: Any) -> Iterable[Any]:
    result = op.get_bind().exec_driver_sql(statement, values)
    return result if result.returns_rows else ()
