"""The ledger side of `state.db`: load current rows, store the rows changed by a fold together with its positions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec
from msgspec.structs import astuple

from clarion.domain.delivery_state import State
from clarion.domain.errors import AlreadyStored, StaleLease
from clarion.domain.history import (
    INSTANCE_ENDINGS,
    STATES,
    Attempt,
    Capture,
    Changes,
    Chunk,
    ChunkState,
    Delivery,
    Instance,
    Notification,
    Progress,
)
from clarion.domain.limits_delivery import RECEIPTS_KEPT_MAX
from clarion.ports.receipt_lookup import REPEATABLE
from clarion.ports.stage_store import Position
from clarion.ports.state import Advance
from clarion.runtime.inbox_signal import changed_by
from clarion.stores.sqlite.inbox_signals import SharedInboxSignals
from clarion.stores.sqlite.state_places import store_collapses, store_items, store_spans
from clarion.stores.sqlite.state_threads import Threads


def _insert(table: str, kind: type, rest: str) -> str:
    columns = kind.__struct_fields__  # type: ignore[attr-defined]
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {rest}"  # noqa: S608


_NOTIFICATION: Final = _insert(
    "notifications",
    Notification,
    """ON CONFLICT DO UPDATE SET planned_ms = coalesce(planned_ms, excluded.planned_ms),
    scheduled_ms = coalesce(scheduled_ms, excluded.scheduled_ms)""",
)
_NEW_DELIVERY: Final = _insert("deliveries", Delivery, "")
_DELIVERY: Final = _NEW_DELIVERY.replace("INSERT", "INSERT OR REPLACE", 1)
_SETTING: Final = "INSERT OR IGNORE INTO settings VALUES (?, ?)"
_ATTEMPT: Final = _insert("attempts", Attempt, "").replace("INSERT", "INSERT OR REPLACE", 1)
_REPEATABLE: Final = "".join(
    (
        _ATTEMPT.replace("VALUES (", "SELECT ").removesuffix(") "),
        " WHERE (SELECT count(*) FROM attempts WHERE delivery_id = ?1 AND tenant = ?2 AND event = ?6)",
        f" < {RECEIPTS_KEPT_MAX}",
    )
)
_CHUNK: Final = _insert("chunks", Chunk, "ON CONFLICT DO NOTHING")
_NEW_CHUNK_STATE: Final = _insert("chunk_states", ChunkState, "")
_CHUNK_STATE: Final = _NEW_CHUNK_STATE.replace("INSERT", "INSERT OR REPLACE", 1)
_CAPTURE: Final = _insert("captures", Capture, "ON CONFLICT DO NOTHING")
_DEAD: Final = """INSERT OR REPLACE INTO dead_letters
    (tenant, delivery_id, channel, user_id, reason, detail, attempt, dead_ms, payload, replayed_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_REPLAYED: Final = "UPDATE dead_letters SET replayed_ms = ? WHERE tenant = ? AND delivery_id = ?"
_CANCELLED: Final = "INSERT OR IGNORE INTO cancellations VALUES (?, ?, ?)"
_SEEN_RECEIPT: Final = """INSERT INTO sightings VALUES (?1, ?2, ?3, ?4, ?4)
    ON CONFLICT DO UPDATE SET last_ms = max(last_ms, excluded.last_ms)"""
_TOTAL: Final = """INSERT INTO broadcast_totals VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET count = count + excluded.count"""
_COUNTER: Final = """INSERT INTO counters (minute_ms, tenant, channel, what, reason, count) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET count = count + excluded.count"""
_HEALTH_CHANGE: Final = """INSERT INTO standings (tenant, at_ms, provider, sequence, channel, vendor, before, state, detail)
    SELECT ?1, ?2, ?3, coalesce(max(sequence), 0) + 1, ?4, ?5, ?6, ?7, ?8 FROM standings
    WHERE tenant = ?1 AND at_ms = ?2 AND provider = ?3"""
# Progress after the end of an instance does not change its state.
_INSTANCE_STATE: Final = _insert(
    "instances",
    Instance,
    """ON CONFLICT DO UPDATE SET step = excluded.step, state = excluded.state, ended_ms = excluded.ended_ms,
    detail = excluded.detail WHERE ended_ms IS NULL""",
)
_DID: Final = """INSERT INTO progress (instance_id, tenant, sequence, at_ms, step, event, detail)
    SELECT ?1, ?2, coalesce(max(sequence), 0) + 1, ?3, ?4, ?5, ?6 FROM progress WHERE instance_id = ?1 AND tenant = ?2"""
_POSITION: Final = """INSERT INTO positions (partition, "offset", fence, numbers) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET "offset" = excluded."offset", fence = excluded.fence, numbers = excluded.numbers"""
_NUMBERS: Final = msgspec.msgpack.Decoder(dict[str, int])

DELIVERY_COLUMNS: Final = ", ".join(Delivery.__struct_fields__)
CHUNK_STATE_COLUMNS: Final = ", ".join(ChunkState.__struct_fields__)
_DELIVERY_BY_ID: Final = f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE id = ?"  # noqa: S608
_CHUNK_STATE_BY_ID: Final = f"SELECT {CHUNK_STATE_COLUMNS} FROM chunk_states WHERE chunk_id = ?"  # noqa: S608
_STATE_AT: Final = Delivery.__struct_fields__.index("state")


def delivery(row: tuple[Any, ...]) -> Delivery:
    """Return the delivery of a row of `DELIVERY_COLUMNS`."""
    found = Delivery(*row)
    found.state = STATES[row[_STATE_AT]]
    return found


class StateFold:
    """Implements `ports.state.Ledger` and `DeliveryStates`."""

    def __init__(self, threads: Threads, signals: SharedInboxSignals) -> None:
        self._threads = threads
        self._signals = signals

    async def positions(self) -> dict[int, Position]:
        """Return the folded position of each partition."""
        rows = self._threads.reader().execute('SELECT partition, "offset", numbers FROM positions')
        return {
            partition: Position(offset, {} if numbers is None else _NUMBERS.decode(numbers))
            for partition, offset, numbers in rows
        }

    async def load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        """Return the current rows of deliveries, of chunks, and of the chunks that hold those deliveries."""
        return await self._threads.read(lambda db: _load(db, delivery_ids, chunk_ids))

    async def apply(self, changes: Changes, advances: Sequence[Advance]) -> None:
        """Store changes and positions in one transaction. Raises `StaleLease` when another worker has folded further,
        `AlreadyStored` when a row assumed to be new exists, or `DurabilityError` when the commit fails."""
        await self._threads.write(lambda db: _apply(db, changes, advances))
        self._signals.send(changed_by(changes))

    async def prune_captures(self, before_ms: int, keep_per_tenant: int) -> int:
        """Delete captures older than a time or beyond a number per tenant; return the number deleted."""
        return await self._threads.write(lambda db: _prune_captures(db, before_ms, keep_per_tenant))

    async def states(self, delivery_ids: Iterable[bytes]) -> dict[bytes, tuple[State, int]]:
        """Return the state and newest attempt of those of the deliveries that have a row of their own."""
        rows = self._threads.reader().executemany(
            "SELECT id, state, attempt FROM deliveries WHERE id = ?", [(id_,) for id_ in delivery_ids]
        )
        return {id_: (STATES[state], attempt) for id_, state, attempt in rows}

    async def chunk_states(self, chunk_id: bytes) -> bytes | None:
        """Return the state bytes of a chunk, None when it is not folded yet."""
        row = (
            self._threads.reader().execute("SELECT states FROM chunk_states WHERE chunk_id = ?", (chunk_id,)).fetchone()
        )
        return None if row is None else row[0]


def _load(
    db: apsw.Connection, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
    rows = db.executemany(_DELIVERY_BY_ID, [(id_,) for id_ in sorted(delivery_ids)])
    deliveries = {row[0]: delivery(row) for row in rows}
    wanted = {row.chunk_id for row in deliveries.values() if row.chunk_id is not None}.union(chunk_ids)
    found = db.executemany(_CHUNK_STATE_BY_ID, [(id_,) for id_ in sorted(wanted)])
    return deliveries, {row[0]: ChunkState(*row) for row in found}


def _apply(db: apsw.Connection, changes: Changes, advances: Sequence[Advance]) -> None:
    stored = {row[0]: row[1:] for row in db.execute('SELECT partition, "offset", fence FROM positions')}
    for advance in advances:
        offset, fence = stored.get(advance.partition, (0, 0))
        if offset != advance.from_offset or fence > advance.fence:
            raise StaleLease(f"record: partition {advance.partition} was folded further by another worker")
    _store(db, changes)
    db.executemany(_POSITION, [_position(advance) for advance in advances])


def _position(advance: Advance) -> tuple[int, int, int, bytes | None]:
    numbers = msgspec.msgpack.encode(dict(advance.numbers)) if advance.numbers else None
    return advance.partition, advance.offset, advance.fence, numbers


def _prune_captures(db: apsw.Connection, before_ms: int, keep_per_tenant: int) -> int:
    oldest = max(before_ms, 0).to_bytes(6, "big")
    before = db.total_changes()
    for (tenant,) in db.execute("SELECT DISTINCT tenant FROM captures").fetchall():
        newest = "SELECT delivery_id FROM captures WHERE tenant = ? ORDER BY delivery_id DESC LIMIT 1 OFFSET ?"
        kept = db.execute(newest, (tenant, keep_per_tenant)).fetchone()
        edge = max(oldest, kept[0] if kept else b"")
        db.execute("DELETE FROM captures WHERE tenant = ? AND delivery_id <= ?", (tenant, edge))
    return db.total_changes() - before


def _store(db: apsw.Connection, changes: Changes) -> None:
    """Write all changes, each table in the order of its key, so that adjacent rows are on one page."""
    if changes.notifications:
        rows: list[tuple[Any, ...]] = sorted(map(astuple, changes.notifications), key=lambda row: row[:2])
        db.executemany(_NOTIFICATION, rows)
    db.executemany(_SETTING, changes.settings.items())
    _store_rows(db, _NEW_DELIVERY, _DELIVERY, changes.deliveries, changes.new)
    db.executemany(_ATTEMPT, (astuple(one) for one in changes.attempts if one.event not in REPEATABLE))
    db.executemany(_REPEATABLE, (astuple(one) for one in changes.attempts if one.event in REPEATABLE))
    _store_chunks(db, changes)
    store_items(db, changes.inbox_items)
    db.executemany(_CAPTURE, map(astuple, changes.captures))
    db.executemany(_REPLAYED, changes.replays)
    db.executemany(_DEAD, map(astuple, changes.dead_letters.values()))
    db.executemany(_CANCELLED, changes.cancellations)
    db.executemany(_SEEN_RECEIPT, changes.seen_receipts)
    _store_progress(db, changes.progress)
    db.executemany(_HEALTH_CHANGE, map(astuple, changes.health_changes))
    db.executemany(_COUNTER, [(*key, count) for key, count in changes.counters.items()])


def _store_rows(
    db: apsw.Connection, insert: str, replace: str, rows: Mapping[bytes, Delivery | ChunkState], new: Collection[bytes]
) -> None:
    """Insert new rows and replace existing ones. Raises `AlreadyStored` when a row assumed to be new exists."""
    if not rows:
        return
    fresh: list[tuple[Any, ...]] = []
    known: list[tuple[Any, ...]] = []
    for id_, row in sorted(rows.items()):
        (fresh if id_ in new else known).append(astuple(row))
    try:
        db.executemany(insert, fresh)
    except apsw.ConstraintError as error:
        if getattr(error, "extendedresult", 0) != apsw.SQLITE_CONSTRAINT_PRIMARYKEY:
            raise
        raise AlreadyStored(f"record: a delivery or chunk assumed to be new has a row: {error}") from error
    db.executemany(replace, known)


def _store_chunks(db: apsw.Connection, changes: Changes) -> None:
    db.executemany(_CHUNK, map(astuple, changes.chunks))
    _store_rows(db, _NEW_CHUNK_STATE, _CHUNK_STATE, changes.chunk_states, changes.new)
    store_spans(db, changes.chunks, changes.arrivals.values())
    store_collapses(db, changes.collapses)
    db.executemany(_TOTAL, [(*key, count) for key, count in changes.totals.items() if count])


def _store_progress(db: apsw.Connection, rows: Sequence[Progress]) -> None:
    """Write the events of instances, in order, and the resulting state of each."""
    instance_state: dict[tuple[bytes, str], Instance] = {}
    for row in rows:
        before = instance_state.get((row.instance_id, row.tenant))
        if before is None or before.ended_ms is None:
            instance_state[row.instance_id, row.tenant] = _instance_state(
                row, row.at_ms if before is None else before.started_ms
            )
    db.executemany(_INSTANCE_STATE, map(astuple, instance_state.values()))
    db.executemany(_DID, ((row.instance_id, row.tenant, row.at_ms, row.step, row.event, row.detail) for row in rows))


def _instance_state(row: Progress, started_ms: int) -> Instance:
    ended_ms = row.at_ms if row.event in INSTANCE_ENDINGS else None
    state = row.event if ended_ms is not None or row.event == "waiting" else "running"
    return Instance(
        row.instance_id, row.tenant, row.notification_id, row.user_id, row.workflow, row.version, row.step, state,
        started_ms, ended_ms, row.detail,
    )  # fmt: skip
