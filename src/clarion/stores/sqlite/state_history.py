"""The history side of `state.db`: the API's reads of notifications, broadcasts, dead letters, captures, instances and seen
receipts, the lookups that match delivery receipts, and changes of account health."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from clarion.domain.history import (
    Attempt,
    Capture,
    Chunk,
    ChunkState,
    DeadLetter,
    Delivery,
    HealthChange,
    Instance,
    Notification,
    Progress,
)
from clarion.domain.ids import notification_of
from clarion.domain.limits import RECIPIENTS_MAX
from clarion.domain.limits_delivery import REPLAY_CLAIM_MS
from clarion.ports.history import DeadLetterFilter, ListWindow
from clarion.ports.seen_receipts import Seen
from clarion.stores.sqlite.state_fold import DELIVERY_COLUMNS, delivery
from clarion.stores.sqlite.state_threads import Threads

_END: Final = b"\xff" * 8
"""No id that starts with a given 16 or 24 bytes is above them followed by this."""


def _columns(kind: type, table: str = "") -> str:
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + name for name in kind.__struct_fields__)  # type: ignore[attr-defined]


_NOTIFICATION: Final = f"SELECT {_columns(Notification)} FROM notifications WHERE tenant = ?"  # noqa: S608
_DELIVERIES: Final = f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE"  # noqa: S608
_ATTEMPTS: Final = f"""SELECT {_columns(Attempt)} FROM attempts WHERE delivery_id = ? AND tenant = ?
    ORDER BY attempt, finished_ms"""  # noqa: S608
_CHUNKS: Final = f"""SELECT {_columns(Chunk, "chunks")}, {_columns(ChunkState, "chunk_states")}
    FROM chunks JOIN chunk_states USING (chunk_id, tenant)
    WHERE chunk_id >= ? AND chunk_id <= ? AND tenant = ?"""  # noqa: S608
_DEAD: Final = f"SELECT {_columns(DeadLetter)} FROM dead_letters WHERE tenant = ?"  # noqa: S608
_OF_DELIVERY: Final = """EXISTS (SELECT 1 FROM deliveries AS d, (SELECT ? AS wanted)
    WHERE d.id = dead_letters.delivery_id AND d.tenant = dead_letters.tenant AND """
_BY_PROVIDER: Final = f"{_OF_DELIVERY} d.provider = wanted)"
_BY_VENDOR: Final = f"{_OF_DELIVERY} d.vendor = wanted)"
_BY_ADDRESS: Final = f"{_OF_DELIVERY} (d.address = wanted OR d.channel = 'email' AND lower(d.address) = lower(wanted)))"
_CAPTURES: Final = f"SELECT {_columns(Capture)} FROM captures WHERE tenant = ?"  # noqa: S608
_CLAIM: Final = """UPDATE dead_letters SET claimed_ms = ? WHERE tenant = ? AND delivery_id = ? AND replayed_ms IS NULL
    AND (claimed_ms IS NULL OR claimed_ms <= ?) RETURNING delivery_id"""
_SETTLE: Final = """UPDATE dead_letters SET replayed_ms = claimed_ms WHERE tenant = ? AND delivery_id = ?
    AND claimed_ms = ? AND replayed_ms IS NULL"""
_INSTANCES: Final = f"""SELECT {_columns(Instance)} FROM instances WHERE notification_id = ? AND tenant = ?
    ORDER BY user_id, id LIMIT ?"""  # noqa: S608
_PROGRESS_ROWS: Final = """SELECT instance_id, notification_id, tenant, user_id, workflow, version, progress.step, event, at_ms,
    progress.detail FROM progress JOIN instances USING (tenant) WHERE instances.id = instance_id
    AND instance_id = ? AND tenant = ? ORDER BY sequence"""
_SEEN_BY_ONE: Final = """SELECT tenant, notification_id, user_id, last_ms FROM sightings
    WHERE tenant = ? AND notification_id = ? AND user_id = ?"""
_SEEN_BY_ALL: Final = """SELECT user_id, first_ms FROM sightings WHERE tenant = ? AND notification_id = ?
    ORDER BY user_id LIMIT ?"""
# The partial index serves only a statement that repeats its condition word by word.
_BY_VENDOR_ID: Final = f"""SELECT {DELIVERY_COLUMNS} FROM deliveries
    WHERE vendor IN ('termii', 'twilio', 'ses') AND vendor_message_id <> ''
    AND vendor_message_id = ? AND tenant = ? AND vendor = ? LIMIT 1"""  # noqa: S608
_CHUNK: Final = f"""SELECT {_columns(Chunk)} FROM chunks
    WHERE chunk_id = ? AND tenant = ?"""  # noqa: S608
_HEALTH_CHANGES: Final = f"""SELECT {_columns(HealthChange)} FROM standings
    WHERE tenant = ?1 AND at_ms >= ?2 AND at_ms < ?3 AND (?4 IS NULL OR provider = ?4)
    ORDER BY at_ms DESC, sequence DESC LIMIT ?5"""  # noqa: S608
_CHUNK_WIDTH: Final = len(Chunk.__struct_fields__)


class _Where:
    """A statement to which conditions are added, with its values. Conditions are constants of this file, never
    input."""

    def __init__(self, statement: str, *values: Any) -> None:
        self.statement = statement
        self.values = list(values)

    def also(self, condition: str, value: Any) -> None:
        """Add a condition with one placeholder, unless its value is None."""
        if value is not None:
            self.statement += f" AND {condition}"
            self.values.append(value)

    def window(self, column: str, window: ListWindow) -> None:
        """Add the bounds of a page and its order."""
        self.also(f"{column} < ?", window.before)
        self.also(f"{column} >= ?", _edge(window.from_ms))
        self.also(f"{column} < ?", _edge(window.to_ms))
        self.statement += f" ORDER BY {column} DESC LIMIT ?"
        self.values.append(window.limit)


def _edge(at_ms: int | None) -> bytes | None:
    return None if at_ms is None else min(max(at_ms, 0), (1 << 48) - 1).to_bytes(6, "big")


def _dead_where(statement: str, tenant: str, only: DeadLetterFilter) -> _Where:
    where = _Where(statement, tenant)
    where.also("channel = ?", only.channel)
    where.also("user_id = ?", only.user_id)
    where.also("reason = ?", only.reason)
    where.also("(replayed_ms IS NOT NULL) = ?", only.replayed)
    where.also("dead_ms >= ?", only.dead_from_ms)
    where.also("dead_ms < ?", only.dead_to_ms)
    where.also(_BY_PROVIDER, only.provider)
    where.also(_BY_VENDOR, only.vendor)
    where.also(_BY_ADDRESS, only.address)
    return where


class StateHistory:
    """Implements `ports.history.History`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def notification(self, tenant: str, notification_id: bytes) -> Notification | None:
        """Return a notification that was planned or scheduled, or None."""
        rows = self._rows(f"{_NOTIFICATION} AND id = ?", (tenant, notification_id))
        return Notification(*rows[0]) if rows else None

    async def notifications(self, tenant: str, window: ListWindow) -> list[Notification]:
        """Return notifications, newest first."""
        where = _Where(_NOTIFICATION, tenant)
        where.window("id", window)
        return [Notification(*row) for row in self._rows(where.statement, where.values)]

    async def deliveries_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Delivery]]:
        """Return the deliveries of notifications that have a row, those of 1,000 recipients at most of each."""
        statement = f"{_DELIVERIES} id >= ? AND id <= ? AND tenant = ? ORDER BY planned_ms, id LIMIT ?"
        values = [(id_, id_ + _END, tenant, 8 * RECIPIENTS_MAX) for id_ in notification_ids]
        found: dict[bytes, list[Delivery]] = {}
        for row in map(delivery, self._threads.reader().executemany(statement, values)):
            found.setdefault(notification_of(row.id), []).append(row)
        return found

    async def request_facts(self, tenant: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the shared facts (JSON) behind the decisions on the tenant's deliveries with these digests."""
        statement = "SELECT digest, facts FROM settings WHERE digest = ?"
        return dict(self._threads.reader().executemany(statement, [(digest,) for digest in digests]))

    async def deliveries(self, tenant: str, delivery_ids: Sequence[bytes]) -> dict[bytes, Delivery]:
        """Return deliveries by id."""
        statement, values = f"{_DELIVERIES} id = ? AND tenant = ?", [(id_, tenant) for id_ in delivery_ids]
        rows: list[Any] = await self._threads.run_long_read(lambda db: db.executemany(statement, values).fetchall())
        return {row[0]: delivery(row) for row in rows}

    async def attempts_of(self, tenant: str, delivery_ids: Sequence[bytes]) -> list[Attempt]:
        """Return the attempts and events of deliveries other than their acceptance, by delivery and in order."""
        rows = self._threads.reader().executemany(_ATTEMPTS, [(id_, tenant) for id_ in delivery_ids])
        return [_attempt(row) for row in rows]

    async def cancellations(self, tenant: str, subject_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return when notifications or broadcasts were cancelled; those that were not are left out."""
        statement = "SELECT id, at_ms FROM cancellations WHERE tenant = ? AND id = ?"
        return dict(self._threads.reader().executemany(statement, [(tenant, id_) for id_ in subject_ids]))

    async def totals(self, tenant: str, broadcast_id: bytes) -> list[tuple[str, int, int, int]]:
        """Return (channel, state, reason, deliveries) of a broadcast."""
        return self._rows(
            """SELECT channel, state, reason, count FROM broadcast_totals
               WHERE tenant = ? AND broadcast_id = ? AND count > 0 ORDER BY channel, state, reason""",
            (tenant, broadcast_id),
        )

    async def chunks(
        self, tenant: str, broadcast_id: bytes, after: bytes | None, limit: int, ordinal: int | None = None
    ) -> list[tuple[Chunk, ChunkState]]:
        """Return chunks of a broadcast with ids from `after` on, ascending; with `ordinal` only those whose range holds
        it."""
        where = _Where(_CHUNKS, after or broadcast_id, broadcast_id + _END, tenant)
        where.also("min_ordinal <= ?", ordinal)
        where.also("max_ordinal >= ?", ordinal)
        rows = self._rows(f"{where.statement} ORDER BY chunk_id LIMIT ?", [*where.values, limit])
        return [(Chunk(*row[:_CHUNK_WIDTH]), ChunkState(*row[_CHUNK_WIDTH:])) for row in rows]

    async def dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        where = _dead_where(_DEAD, tenant, only)
        where.window("delivery_id", window)
        rows = await self._long_read(where.statement, where.values)
        return [DeadLetter(*row) for row in rows]

    async def count_dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> int:
        """Return the number of dead letters, `window.limit` at most."""
        where = _dead_where("SELECT 1 FROM dead_letters WHERE tenant = ?", tenant, only)
        where.window("delivery_id", window)
        ((count,),) = await self._long_read(f"SELECT count(*) FROM ({where.statement})", where.values)  # noqa: S608
        return int(count)

    async def dead_letter(self, tenant: str, delivery_id: bytes) -> DeadLetter | None:
        """Return one dead letter, or None when there is none."""
        rows = self._rows(f"{_DEAD} AND delivery_id = ?", (tenant, delivery_id))
        return DeadLetter(*rows[0]) if rows else None

    async def claim_replays(self, tenant: str, delivery_ids: Sequence[bytes], now_ms: int) -> set[bytes]:
        """Claim dead letters for replay and return the ids of those that the caller has claimed now."""
        values = [(now_ms, tenant, id_, now_ms - REPLAY_CLAIM_MS) for id_ in delivery_ids]
        return await self._threads.write(lambda db: {id_ for (id_,) in db.executemany(_CLAIM, values)})

    async def settle_replays(self, tenant: str, delivery_ids: Sequence[bytes], claimed_ms: int) -> None:
        """Mark dead letters that were claimed at `claimed_ms` and are on the journal now as replayed."""
        values = [(tenant, id_, claimed_ms) for id_ in delivery_ids]
        await self._threads.write(lambda db: db.executemany(_SETTLE, values))

    async def captures(
        self, tenant: str, window: ListWindow, channel: str | None, user_id: str | None
    ) -> list[Capture]:
        """Return captured sandbox messages, newest first."""
        where = _Where(_CAPTURES, tenant)
        where.also("channel = ?", channel)
        where.also("user_id = ?", user_id)
        where.window("delivery_id", window)
        return [Capture(*row) for row in self._rows(where.statement, where.values)]

    async def counters(self, tenant: str, from_ms: int, to_ms: int, limit: int) -> list[tuple[int, str, str, int, int]]:
        """Return (minute, channel, event, reason, count) in order of time."""
        return self._rows(
            """SELECT minute_ms, channel, what, reason, count FROM counters
               WHERE tenant = ? AND minute_ms >= ? AND minute_ms < ? ORDER BY minute_ms, channel, what, reason LIMIT ?""",
            (tenant, from_ms, to_ms, limit),
        )

    async def instances_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Instance]]:
        """Return the workflow instances of notifications, by user."""
        values = [(id_, tenant, RECIPIENTS_MAX) for id_ in notification_ids]
        found: dict[bytes, list[Instance]] = {}
        for row in self._threads.reader().executemany(_INSTANCES, values):
            instance = Instance(*row)
            found.setdefault(instance.notification_id, []).append(instance)
        return found

    async def progress_of(self, tenant: str, instance_ids: Sequence[bytes]) -> list[Progress]:
        """Return the progress of instances, by instance and in order."""
        rows = self._threads.reader().executemany(_PROGRESS_ROWS, [(id_, tenant) for id_ in instance_ids])
        return [Progress(*row) for row in rows]

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        """Return the time of the last seen receipt for those pairs of user and notification that have one."""
        return {(*seen,): at_ms for *seen, at_ms in self._threads.reader().executemany(_SEEN_BY_ONE, wanted)}

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        """Return the users who saw the notification with the time of their first seen receipt, in the order of user
        ids."""
        return self._rows(_SEEN_BY_ALL, (tenant, notification_id, RECIPIENTS_MAX))

    async def deliveries_by_vendor_id(
        self, tenant: str, vendor: str, vendor_message_ids: Sequence[str]
    ) -> dict[str, Delivery]:
        """Return deliveries by the vendor's own message ids."""
        wanted = [(id_, tenant, vendor) for id_ in vendor_message_ids]
        found = map(delivery, self._threads.reader().executemany(_BY_VENDOR_ID, wanted))
        return {row.vendor_message_id: row for row in found}

    async def chunks_by_id(self, tenant: str, chunk_ids: Sequence[bytes]) -> dict[bytes, Chunk]:
        """Return chunks of broadcasts."""
        rows = self._threads.reader().executemany(_CHUNK, [(chunk_id, tenant) for chunk_id in chunk_ids])
        return {row[0]: Chunk(*row) for row in rows}

    async def health_changes(
        self, tenant: str, provider: str | None, from_ms: int, to_ms: int, limit: int
    ) -> list[HealthChange]:
        """Return changes of account health, newest first."""
        rows = self._rows(_HEALTH_CHANGES, (tenant, from_ms, to_ms, provider, limit))
        return [HealthChange(*row) for row in rows]

    async def _long_read(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return await self._threads.run_long_read(lambda db: db.execute(statement, tuple(values)).fetchall())

    def _rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return self._threads.reader().execute(statement, tuple(values)).fetchall()


def _attempt(row: Any) -> Attempt:
    attempt = Attempt(*row)
    attempt.applied = bool(attempt.applied)  # SQLite has no booleans
    return attempt
