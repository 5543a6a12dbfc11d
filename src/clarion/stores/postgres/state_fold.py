"""The ledger on PostgreSQL: load current rows, store the rows changed by a fold together with its positions. A load is one
statement, and so is a fold."""

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from clarion.domain.delivery_state import State
from clarion.domain.errors import (
    AlreadyStored,
    DurabilityError,
    OutcomeUnknown,
    Overloaded,
    StaleLease,
    StoreUnavailable,
)
from clarion.domain.history import STATES, Changes, ChunkState, Delivery
from clarion.domain.limits_postgres import POSTGRES_DOUBT_S_MAX, POSTGRES_PERIODS_AHEAD
from clarion.domain.limits_processes import TRIM_ROWS_PER_COMMIT_MAX
from clarion.ports.stage_store import Position
from clarion.ports.state import Advance
from clarion.ports.telemetry import Telemetry
from clarion.runtime.inbox_signal import changed_by
from clarion.stores.postgres.inbox_signals import NotifiedInboxSignals
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.sql_files import sql
from clarion.stores.postgres.state_periods import span_of
from clarion.stores.postgres.state_rows import FOLD, fold_rows, fold_tenants, without_nul
from clarion.stores.postgres.tenancy import ALL_TENANTS, NO_TENANT, within

_STALE: Final = "CLR10"
"""The error code of `fold_advance_all`."""
_NEW: Final = ("deliveries_", "chunk_states_")
"""How the names of keys begin of which a violation means that a row assumed to be new exists, one for each partition."""
_PAUSE_S: Final = 0.05
_LOAD: Final = sql("state_load")
_PRUNE: Final = """DELETE FROM captures AS c USING (
        SELECT t.tenant, greatest($1::bytea, coalesce((SELECT k.delivery_id FROM captures AS k WHERE k.tenant = t.tenant
            ORDER BY k.delivery_id DESC LIMIT 1 OFFSET $2), ''::bytea)) AS edge
        FROM (SELECT DISTINCT tenant FROM captures) AS t
    ) AS e WHERE {scope} AND c.tenant = e.tenant AND c.delivery_id <= e.edge"""
_MAKE: Final = "SELECT history_make($1)"
_DROP: Final = "SELECT history_drop($1, $2)"
_STATES: Final = """SELECT w.id, d.state, d.attempt FROM unnest($1::bytea[]) AS w (id),
    LATERAL (SELECT state, attempt FROM deliveries WHERE deliveries.id = w.id AND deliveries.id BETWEEN $2 AND $3 OFFSET 0) AS d"""
_NUMBERS: Final = msgspec.msgpack.Decoder(dict[str, int])

T = TypeVar("T")

DELIVERY_COLUMNS: Final = ", ".join(Delivery.__struct_fields__)
_STATE_AT: Final = Delivery.__struct_fields__.index("state")
_WIDTH: Final = len(Delivery.__struct_fields__)


def delivery(row: Any) -> Delivery:
    """Return the delivery of a row that begins with `DELIVERY_COLUMNS`."""
    found = Delivery(*row[:_WIDTH])
    found.state = STATES[row[_STATE_AT]]
    return found


class StateFold:
    """Implements `ports.state.Ledger` and `DeliveryStates`. The CPU time of its calls counts as the stage `record`, except
    that of the deliver stage's reads."""

    def __init__(self, database: Database, signals: NotifiedInboxSignals, telemetry: Telemetry | None = None) -> None:
        self._database = database
        self._signals = signals
        self._telemetry = telemetry

    async def positions(self) -> dict[int, Position]:
        """Return the folded position of each partition."""
        rows = await self._database.fetch(NO_TENANT, 'SELECT partition, "offset", numbers FROM fold_positions')
        return {
            partition: Position(offset, {} if numbers is None else _NUMBERS.decode(numbers))
            for partition, offset, numbers in rows
        }

    async def load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        """Return the current rows of deliveries, of chunks, and of the chunks that hold those deliveries."""
        return await self._timed(self._load(delivery_ids, chunk_ids))

    async def apply(self, changes: Changes, advances: Sequence[Advance]) -> None:
        """Store changes and positions in one transaction. Raises `StaleLease` when another worker has folded further,
        `AlreadyStored` when a row assumed to be new exists, `Overloaded` when nothing could be stored now, or
        `DurabilityError` when the outcome cannot be found out."""
        await self._timed(self._apply(changes, advances))

    async def prune_captures(self, before_ms: int, keep_per_tenant: int) -> int:
        """Delete captures older than a time or beyond a number per tenant; return the number deleted. Make the partitions
        of the next periods, too; when that fails now, the next call has weeks left for it."""
        with suppress(Overloaded, DurabilityError):
            await self._database.run(lambda db: db.execute(_MAKE, POSTGRES_PERIODS_AHEAD))
        oldest = max(before_ms, 0).to_bytes(6, "big")
        done = await self._timed(
            self._database.run(lambda db: db.execute(*within(ALL_TENANTS, _PRUNE, oldest, keep_per_tenant)))
        )
        return int(done.removeprefix("DELETE "))

    async def drop_history(self, before_ms: int) -> int:
        """Drop the periods of history that ended before a time, whole. Return the number of rows that were deleted one by
        one, as they were in no period. Raises `Overloaded` when statements under way use the tables for too long."""
        number = 0
        while deleted := await self._database.run(
            lambda db: db.fetchval(_DROP, before_ms, TRIM_ROWS_PER_COMMIT_MAX), repeatable=True
        ):
            number += deleted
        return number

    async def states(self, delivery_ids: Iterable[bytes]) -> dict[bytes, tuple[State, int]]:
        """Return the state and newest attempt of those of the deliveries that have a row of their own."""
        ids = list(delivery_ids)
        rows = await self._database.fetch(ALL_TENANTS, _STATES, ids, *span_of(ids))
        return {id_: (STATES[state], attempt) for id_, state, attempt in rows}

    async def chunk_states(self, chunk_id: bytes) -> bytes | None:
        """Return the state bytes of a chunk, None when it is not folded yet."""
        found: bytes | None = await self._database.fetchval(
            ALL_TENANTS, "SELECT states FROM chunk_states WHERE chunk_id = $1", chunk_id
        )
        return found

    async def _timed(self, work: Coroutine[Any, Any, T]) -> T:
        return await (work if self._telemetry is None else self._telemetry.cpu_of("record", work))

    async def _load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        values = sorted(delivery_ids), sorted(chunk_ids), *span_of([*delivery_ids, *chunk_ids])
        rows = await self._database.fetch(ALL_TENANTS, _LOAD, *values)
        deliveries: dict[bytes, Delivery] = {}
        chunks: dict[bytes, ChunkState] = {}
        for row in rows:
            if row["states"] is None:
                deliveries[row["id"]] = delivery(row)
            else:
                chunks[row["id"]] = _chunk_state(row)
        return deliveries, chunks

    async def _apply(self, changes: Changes, advances: Sequence[Advance]) -> None:
        changed = changed_by(changes)
        rows = fold_rows(changes, advances, self._signals.messages(changed))
        try:
            await self._fold(rows)
        except DurabilityError:  # the connection was lost
            if not advances:
                raise
            await self._fold_until_known(rows, advances)
        self._signals.notify(changed)

    async def _fold(self, rows: Sequence[Any]) -> None:
        tenants = fold_tenants(rows)
        try:
            try:
                await self._database.run(lambda db: db.execute(*within(tenants, FOLD, *rows)))
            except asyncpg.CharacterNotInRepertoireError:
                cleaned = without_nul(rows)  # a provider's words may hold it: rare, so it is looked for only then
                await self._database.run(lambda db: db.execute(*within(tenants, FOLD, *cleaned)))
        except asyncpg.UniqueViolationError as error:
            if not (error.constraint_name or "").startswith(_NEW):
                raise
            raise AlreadyStored("record: a delivery or chunk assumed to be new has a row") from error
        except asyncpg.PostgresError as error:
            if error.sqlstate != _STALE:
                raise
            raise StaleLease("record: a partition was folded further by another worker") from None

    async def _fold_until_known(self, rows: Sequence[Any], advances: Sequence[Advance]) -> None:
        """Repeat a fold whose outcome is not known until the server says: its positions tell whether it was stored. Raises
        `DurabilityError` when the server does not answer in time."""
        try:
            async with asyncio.timeout(POSTGRES_DOUBT_S_MAX):
                while True:
                    try:
                        await self._fold_once(rows, advances)
                        return
                    except (DurabilityError, Overloaded, StoreUnavailable):
                        await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise OutcomeUnknown("the outcome of a fold is not known: PostgreSQL did not answer") from None

    async def _fold_once(self, rows: Sequence[Any], advances: Sequence[Advance]) -> None:
        """Fold, unless these positions show that this was done."""
        try:
            await self._fold(rows)
        except StaleLease:
            found = await self._database.fetch(NO_TENANT, 'SELECT partition, "offset", fence FROM fold_positions')
            stored = {partition: (offset, fence) for partition, offset, fence in found}
            if any(stored.get(one.partition) != (one.offset, one.fence) for one in advances):
                raise


def _chunk_state(row: Any) -> ChunkState:
    return ChunkState(
        row["id"], row["tenant"], row["channel"], row["states"], row["reasons"], row["intents"], row["provider"],
        row["vendor"], row["finished_ms"],
    )  # fmt: skip
