"""Another number of partitions: every row of `journal.db` moves to its place inside one transaction of the writer."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import apsw

from clarion.domain.limits_processes import LEASE_TTL_MS_MAX, REGROUP_FRAMES_PER_READ_MAX, REGROUP_ROWS_PER_READ_MAX
from clarion.journal.topics import GROUP_TOPICS, OUTCOMES, REGROUPED, urgency
from clarion.ports.journal_cells import Cell, Wait
from clarion.ports.regroup import Placement, check_ready, still_held
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.journal_append import Transaction
from clarion.stores.sqlite.journal_streams import find, frame_id

_HELD: Final = "SELECT owner FROM leases WHERE expires_monotonic_ms > ? AND expires_monotonic_ms <= ? LIMIT 1"
_PARTITIONS: Final = "SELECT value FROM meta WHERE name = 'partitions'"
_SET_PARTITIONS: Final = "UPDATE meta SET value = ? WHERE name = 'partitions'"
_CELLS: Final = """SELECT partition, key, value FROM cells WHERE (partition, key) > (?, ?)
    ORDER BY partition, key LIMIT ?"""
_SET_ASIDE: Final = (
    "CREATE TABLE cells_before (partition INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (partition, key)) WITHOUT ROWID",
    "INSERT INTO cells_before SELECT partition, key, value FROM cells",
    "DELETE FROM cells",
)
_CELLS_BEFORE: Final = _CELLS.replace("FROM cells", "FROM cells_before")
_CELL: Final = "SELECT value FROM cells WHERE partition = ? AND key = ?"
_PUT_CELL: Final = "INSERT OR REPLACE INTO cells (partition, key, value) VALUES (?, ?, ?)"
_TIMERS: Final = """SELECT sequence, timer_id, due_ms, topic, partition, payload FROM timers
    WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"""
_MOVE_TIMER: Final = "UPDATE timers SET partition = ? WHERE timer_id = ?"
_ADD_TIMER: Final = (
    "INSERT INTO timers (timer_id, due_ms, topic, partition, payload, urgency) VALUES (?, ?, ?, ?, ?, ?)"
)
_WAITS: Final = """SELECT tenant, key, subject, topic, partition, expires_ms FROM waits
    WHERE (tenant, key, subject) > (?, ?, ?) ORDER BY tenant, key, subject LIMIT ?"""
_MOVE_WAIT: Final = "UPDATE waits SET partition = ? WHERE tenant = ? AND key = ? AND subject = ?"
_OFFSET: Final = 'SELECT "offset" FROM commits WHERE "group" = ? AND partition = ? AND topic = ?'
_COMMIT: Final = """INSERT INTO commits ("group", partition, topic, "offset") VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET "offset" = excluded."offset" """
_FRAMES: Final = """SELECT frame_id, appended_ms, count, payload FROM frames WHERE frame_id > ? AND frame_id <= ?
    ORDER BY frame_id LIMIT ?"""
_INTENTS: Final = 'SELECT partition, payload FROM intents WHERE "group" = ? ORDER BY partition, number'
_DROP_INTENTS: Final = 'DELETE FROM intents WHERE "group" = ?'
_PUT_INTENT: Final = 'INSERT INTO intents ("group", partition, number, payload) VALUES (?, ?, ?, ?)'


def regroup(tx: Transaction, placement: Placement, recorded: Mapping[int, int]) -> None:
    """Move all rows. Raises `OperatorError` while a lease is held, and before everything is recorded."""
    db = tx.db
    check_free(tx)
    ((stored,),) = fetch_all(db, _PARTITIONS)
    streams = {partition: find(db, OUTCOMES, partition) for partition in range(stored)}
    heads = {partition: stream.offset for partition, stream in streams.items() if stream is not None}
    check_ready(stored, placement, heads, recorded)
    for cells in _cells(db, _CELLS):
        placement.learn(cells)
    _move_timers(db, placement)
    _move_cells(db, placement)
    _move_waits(db, placement)
    ids = [cursor_id for (cursor_id,) in fetch_all(db, "SELECT cursor_id FROM cursors")]
    places = [(placement.partition_of(cursor_id), cursor_id) for cursor_id in ids]
    db.executemany("UPDATE cursors SET partition = ? WHERE cursor_id = ?", places)
    now_ms = tx.now_ms
    _move_frames(tx, placement)
    tx.now_ms = now_ms
    db.execute(_SET_PARTITIONS, (placement.after,))


def check_free(tx: Transaction) -> None:
    """Raise `OperatorError` while a lease is held."""
    for (owner,) in fetch_all(tx.db, _HELD, (tx.monotonic_ms, tx.monotonic_ms + LEASE_TTL_MS_MAX)):
        raise still_held(owner)


def _cells(db: apsw.Connection, statement: str) -> Iterator[list[Cell]]:
    last: tuple[Any, ...] = (-1, b"")
    while rows := fetch_all(db, statement, (*last, REGROUP_ROWS_PER_READ_MAX)):
        yield [Cell(*row) for row in rows]
        last = rows[-1][:2]


def _move_timers(db: apsw.Connection, placement: Placement) -> None:
    ((newest,),) = fetch_all(db, "SELECT coalesce(max(sequence), 0) FROM timers")
    last = 0
    while rows := fetch_all(db, _TIMERS, (last, newest, REGROUP_ROWS_PER_READ_MAX)):
        last = rows[-1][0]
        before = {row[1] for row in rows}
        placed = placement.timers([Timer(*row[1:]) for row in rows])
        db.executemany(_MOVE_TIMER, [(timer.partition, timer.timer_id) for timer in placed if timer.timer_id in before])
        gone = before.difference(timer.timer_id for timer in placed)
        db.executemany("DELETE FROM timers WHERE timer_id = ?", [(timer_id,) for timer_id in gone])
        copies = [timer for timer in placed if timer.timer_id not in before]
        db.executemany(
            _ADD_TIMER,
            [(one.timer_id, one.due_ms, one.topic, one.partition, one.payload, urgency(one.topic)) for one in copies],
        )


def _move_cells(db: apsw.Connection, placement: Placement) -> None:
    for statement in _SET_ASIDE:
        db.execute(statement)
    for page in _cells(db, _CELLS_BEFORE):
        _put_cells(db, placement, placement.cells(page))
    _put_cells(db, placement, placement.last_cells())
    db.execute("DROP TABLE cells_before")


def _put_cells(db: apsw.Connection, placement: Placement, cells: list[Cell]) -> None:
    for cell in cells:
        value = cell.value or b""
        for (met,) in fetch_all(db, _CELL, (cell.partition, cell.key)):
            value = placement.merged(cell.key, met, value)
        db.execute(_PUT_CELL, (cell.partition, cell.key, value))


def _move_waits(db: apsw.Connection, placement: Placement) -> None:
    last: tuple[Any, ...] = ("", b"", b"")
    while rows := fetch_all(db, _WAITS, (*last, REGROUP_ROWS_PER_READ_MAX)):
        last = rows[-1][:3]
        placed = placement.waits([Wait(*row) for row in rows])
        db.executemany(_MOVE_WAIT, [(wait.partition, wait.tenant, wait.key, wait.subject) for wait in placed])


def _move_frames(tx: Transaction, placement: Placement) -> None:
    """Append what groups have not read to its new streams, and commit the streams it was read from."""
    db = tx.db
    unread: list[tuple[str, str, int, int, int, int]] = []
    for group in REGROUPED:
        for topic in GROUP_TOPICS[group]:
            for partition in range(placement.before):
                stream = find(db, topic, partition)
                offsets = fetch_all(db, _OFFSET, (group, partition, topic))
                done = offsets[0][0] if offsets else 0
                if stream is not None and done < stream.offset:
                    unread.append((group, topic, partition, stream.stream_id, done, stream.offset))
    targets: dict[tuple[str, int], set[int]] = defaultdict(set)
    for group, topic, partition, stream_id, done, head in unread:
        last, end = frame_id(stream_id, done), frame_id(stream_id, head)
        while rows := fetch_all(db, _FRAMES, (last, end, REGROUP_FRAMES_PER_READ_MAX)):
            last = rows[-1][0]
            for _, appended_ms, count, payload in rows:
                tx.now_ms = appended_ms  # so that a request is still found by its time
                placed = placement.frames(Frame(topic, partition, count, payload))
                tx.put(placed)
                targets[group, partition].update(frame.partition for frame in placed)
        db.execute(_COMMIT, (group, partition, topic, head))
    for group in REGROUPED:
        _move_intents(db, group, targets)


def _move_intents(db: apsw.Connection, group: str, targets: dict[tuple[str, int], set[int]]) -> None:
    """Copy the open intents of a partition to all partitions that got its frames."""
    rows = fetch_all(db, _INTENTS, (group,))
    db.execute(_DROP_INTENTS, (group,))
    numbers: dict[int, int] = defaultdict(int)
    for partition, payload in rows:
        for target in sorted(targets[group, partition]):
            numbers[target] += 1
            db.execute(_PUT_INTENT, (group, target, numbers[target], payload))
