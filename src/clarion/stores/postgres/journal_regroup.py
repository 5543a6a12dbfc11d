"""Another number of partitions: every row of the journal moves to its place in one transaction."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from clarion.domain.errors import OperatorError
from clarion.domain.limits_postgres import POSTGRES_QUIET_S, POSTGRES_REGROUP_S_MAX, POSTGRES_WRITER_ENDED_KEPT_MS
from clarion.domain.limits_processes import (
    LEASE_TTL_MS_MAX,
    REGROUP_FRAMES_PER_READ_MAX,
    REGROUP_ROWS_PER_READ_MAX,
)
from clarion.journal.topics import GROUP_TOPICS, OUTCOMES, REGROUPED, urgency
from clarion.ports.journal_cells import Cell, Wait
from clarion.ports.regroup import PARTITIONS_STAY, Placement, check_ready, still_held
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame
from clarion.stores.postgres.pool import Connection, columns

_LOCK: Final = """LOCK TABLE journal.writers, journal.leases, journal.streams, journal.timers, journal.cells, journal.waits,
    journal.cursors IN EXCLUSIVE MODE"""
_HELD: Final = """SELECT owner FROM journal.leases, journal.lease_time($1) now
    WHERE expires_ms > now AND expires_ms <= now + $2::bigint LIMIT 1"""
_OTHERS: Final = """SELECT application_name || coalesce(' at ' || host(client_addr), '') FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'clarion-%'
    AND application_name <> current_setting('application_name')
    AND application_name NOT IN ('clarion-check', 'clarion-migrate', 'clarion-prepare')
    AND (state IS DISTINCT FROM 'idle' OR state_change > clock_timestamp() - make_interval(secs => $1)) LIMIT 1"""
"""Other processes of the installation: each uses a connection every `POSTGRES_CHECK_MS`. One that is not seen in full, as it
has another user, has no state."""
_PATIENCE: Final = "SELECT set_config('statement_timeout', $1, true)"
_PARTITIONS: Final = "SELECT value FROM journal.meta WHERE name = 'partitions' FOR UPDATE"
_HEADS: Final = "SELECT partition, head FROM journal.streams WHERE topic = $1 AND partition < $2"
_SET_PARTITIONS: Final = "UPDATE journal.meta SET value = $1 WHERE name = 'partitions'"
_END_WRITERS: Final = """UPDATE journal.writers SET number = $1, at_ms = journal.lease_time(NULL) + $3::bigint, answer = NULL
    WHERE writer <> $2"""
_NEVER: Final = 2**62
_CELLS: Final = """SELECT partition, key, value FROM {} WHERE (partition, key) > ($1, $2::bytea)
    ORDER BY partition, key LIMIT $3"""
_SET_ASIDE: Final = "CREATE TEMP TABLE cells_before ON COMMIT DROP AS SELECT partition, key, value FROM journal.cells"
_SET_ASIDE_KEY: Final = "CREATE UNIQUE INDEX ON cells_before (partition, key)"
_MET: Final = """SELECT partition, key, value FROM journal.cells
    WHERE (partition, key) IN (SELECT * FROM unnest($1::integer[], $2::bytea[]))"""
_PUT_CELLS: Final = """INSERT INTO journal.cells (partition, key, value)
    SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bytea[])
    ON CONFLICT (partition, key) DO UPDATE SET value = excluded.value"""
_TIMERS: Final = """SELECT sequence, timer_id, due_ms, topic, partition, payload FROM journal.timers
    WHERE timer_id > $1 AND sequence <= $2 ORDER BY timer_id LIMIT $3"""
_DROP_TIMERS: Final = "DELETE FROM journal.timers WHERE timer_id = ANY ($1::bytea[])"
_MOVE_TIMERS: Final = """UPDATE journal.timers t SET partition = a.partition
    FROM unnest($1::bytea[], $2::integer[]) a (id, partition) WHERE t.timer_id = a.id AND t.partition <> a.partition"""
_ADD_TIMERS: Final = """INSERT INTO journal.timers (timer_id, due_ms, topic, partition, payload, urgency)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::integer[], $5::bytea[], $6::integer[])"""
_WAITS: Final = """SELECT tenant, key, subject, topic, partition, expires_ms FROM journal.waits
    WHERE (tenant, key, subject) > ($1, $2::bytea, $3::bytea) ORDER BY tenant, key, subject LIMIT $4"""
_MOVE_WAITS: Final = """UPDATE journal.waits w SET partition = a.partition
    FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::integer[]) a (tenant, key, subject, partition)
    WHERE w.tenant = a.tenant AND w.key = a.key AND w.subject = a.subject AND w.partition <> a.partition"""
_MOVE_CURSORS: Final = """UPDATE journal.cursors c SET partition = a.partition
    FROM unnest($1::bytea[], $2::integer[]) a (id, partition) WHERE c.cursor_id = a.id AND c.partition <> a.partition"""
_UNREAD: Final = """SELECT a."group", s.topic, s.partition, s.stream_id, coalesce(c."offset", 0) AS done, s.head
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY a ("group", topic, ord)
    JOIN journal.streams s ON s.topic = a.topic AND s.partition < $3
    LEFT JOIN journal.commits c ON c."group" = a."group" AND c.topic = s.topic AND c.partition = s.partition
    WHERE coalesce(c."offset", 0) < s.head ORDER BY a.ord, s.partition"""
_FRAMES: Final = """SELECT "offset", appended_ms, count, payload FROM journal.frames
    WHERE stream_id = $1 AND "offset" > $2 AND "offset" <= $3 ORDER BY "offset" LIMIT $4"""
_APPEND: Final = "SELECT journal.append($1::text[], $2::integer[], $3::integer[], $4::bytea[], $5)"
_COMMIT: Final = """INSERT INTO journal.commits ("group", partition, topic, "offset") VALUES ($1, $2, $3, $4)
    ON CONFLICT ("group", partition, topic) DO UPDATE SET "offset" = excluded."offset" """
_INTENTS: Final = 'SELECT partition, payload FROM journal.intents WHERE "group" = $1 ORDER BY partition, number'
_DROP_INTENTS: Final = 'DELETE FROM journal.intents WHERE "group" = $1'
_PUT_INTENTS: Final = """INSERT INTO journal.intents ("group", partition, number, payload)
    SELECT $1, * FROM unnest($2::integer[], $3::bigint[], $4::bytea[])"""

Targets = dict[tuple[str, int], set[int]]
"""The partitions that got frames of a group's partition."""


class _Unread(NamedTuple):
    """What a group has not read of a stream: the offsets after `done`, up to `head`."""

    group: str
    topic: str
    partition: int
    stream_id: int
    done: int
    head: int


async def regroup(
    db: Connection, placement: Placement, recorded: Mapping[int, int], lease_time: int | None, writer: bytes
) -> None:
    """Move the rows of all tenants inside a transaction. No other writer than this one can commit any more. Raises `OperatorError` while
    another process is at work, and before everything is recorded."""
    await db.execute(_PATIENCE, f"{POSTGRES_REGROUP_S_MAX}s")
    await db.execute(_LOCK)
    await check_alone(db, lease_time)
    stored = await db.fetchval(_PARTITIONS)
    if stored is None:
        raise OperatorError("The journal has no partitions yet: start it first.")
    heads = await db.fetch(_HEADS, OUTCOMES, stored)
    check_ready(stored, placement, dict(map(tuple, heads)), recorded)
    async for cells in _cells(db, "journal.cells"):
        placement.learn(cells)
    await _move_timers(db, placement)
    await _move_cells(db, placement)
    await _move_waits(db, placement)
    ids = [row[0] for row in await db.fetch("SELECT cursor_id FROM journal.cursors")]
    await db.execute(_MOVE_CURSORS, ids, [placement.partition_of(cursor_id) for cursor_id in ids])
    await _move_frames(db, placement)
    await db.execute(_SET_PARTITIONS, placement.after)
    await db.execute(_END_WRITERS, _NEVER, writer, POSTGRES_WRITER_ENDED_KEPT_MS)


async def check_alone(db: Connection, lease_time: int | None, otherwise: str = PARTITIONS_STAY) -> None:
    """Raise `OperatorError` while a lease is held, or a session of another process was used a moment ago."""
    owner = await db.fetchval(_HELD, lease_time, LEASE_TTL_MS_MAX) or await db.fetchval(_OTHERS, POSTGRES_QUIET_S)
    if owner is not None:
        raise still_held(owner, otherwise)


async def _cells(db: Connection, table: str) -> AsyncIterator[list[Cell]]:
    last: tuple[Any, ...] = (-1, b"")
    while rows := await db.fetch(_CELLS.format(table), *last, REGROUP_ROWS_PER_READ_MAX):
        yield [Cell(*row) for row in rows]
        last = rows[-1][0], rows[-1][1]


async def _move_timers(db: Connection, placement: Placement) -> None:
    newest = await db.fetchval("SELECT coalesce(max(sequence), 0) FROM journal.timers")
    last = b""
    while rows := await db.fetch(_TIMERS, last, newest, REGROUP_ROWS_PER_READ_MAX):
        last = rows[-1][1]
        before = {row[1] for row in rows}
        placed = placement.timers([Timer(*list(row)[1:]) for row in rows])
        stay = [(timer.timer_id, timer.partition) for timer in placed if timer.timer_id in before]
        copies = [
            (one.timer_id, one.due_ms, one.topic, one.partition, one.payload, urgency(one.topic))
            for one in placed
            if one.timer_id not in before
        ]
        await db.execute(_MOVE_TIMERS, *columns(stay, 2))
        await db.execute(_DROP_TIMERS, list(before.difference(timer.timer_id for timer in placed)))
        await db.execute(_ADD_TIMERS, *columns(copies, 6))


async def _move_cells(db: Connection, placement: Placement) -> None:
    await db.execute(_SET_ASIDE)
    await db.execute(_SET_ASIDE_KEY)
    await db.execute("DELETE FROM journal.cells")
    async for page in _cells(db, "cells_before"):
        await _put_cells(db, placement, placement.cells(page))
    await _put_cells(db, placement, placement.last_cells())


async def _put_cells(db: Connection, placement: Placement, cells: list[Cell]) -> None:
    places = list({(cell.partition, cell.key) for cell in cells})
    values = {(row[0], row[1]): row[2] for row in await db.fetch(_MET, *columns(places, 2))}
    for cell in cells:
        place, value = (cell.partition, cell.key), cell.value or b""
        values[place] = placement.merged(cell.key, values[place], value) if place in values else value
    await db.execute(_PUT_CELLS, *columns([(*place, value) for place, value in values.items()], 3))


async def _move_waits(db: Connection, placement: Placement) -> None:
    last: tuple[Any, ...] = ("", b"", b"")
    while rows := await db.fetch(_WAITS, *last, REGROUP_ROWS_PER_READ_MAX):
        last = rows[-1][0], rows[-1][1], rows[-1][2]
        placed = placement.waits([Wait(*row) for row in rows])
        await db.execute(
            _MOVE_WAITS, *columns([(one.tenant, one.key, one.subject, one.partition) for one in placed], 4)
        )


async def _move_frames(db: Connection, placement: Placement) -> None:
    """Append what groups have not read to its new streams, and commit the streams it was read from."""
    read = [(group, topic) for group in REGROUPED for topic in GROUP_TOPICS[group]]
    targets: Targets = defaultdict(set)
    for row in await db.fetch(_UNREAD, *columns(read, 2), placement.before):
        unread = _Unread(*row)
        last = unread.done
        while rows := await db.fetch(_FRAMES, unread.stream_id, last, unread.head, REGROUP_FRAMES_PER_READ_MAX):
            last = rows[-1][0]
            # Frames keep their time, so that a request is still found by its own.
            for appended_ms, some in groupby(rows, key=lambda row: row[1]):
                frames = [Frame(unread.topic, unread.partition, count, payload) for _, _, count, payload in some]
                placed = [one for frame in frames for one in placement.frames(frame)]
                values = columns([(one.topic, one.partition, one.count, one.payload) for one in placed], 4)
                await db.execute(_APPEND, *values, appended_ms)
                targets[unread.group, unread.partition].update(one.partition for one in placed)
        await db.execute(_COMMIT, unread.group, unread.partition, unread.topic, unread.head)
    for group in REGROUPED:
        await _move_intents(db, group, targets)


async def _move_intents(db: Connection, group: str, targets: Targets) -> None:
    """Copy the open intents of a partition to all partitions that got its frames."""
    numbers: dict[int, int] = defaultdict(int)
    entries: list[tuple[int, int, bytes]] = []
    for partition, payload in await db.fetch(_INTENTS, group):
        for target in sorted(targets[group, partition]):
            numbers[target] += 1
            entries.append((target, numbers[target], payload))
    await db.execute(_DROP_INTENTS, group)
    await db.execute(_PUT_INTENTS, group, *columns(entries, 3))
