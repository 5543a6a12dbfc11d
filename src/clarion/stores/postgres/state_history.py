"""The history on PostgreSQL: the API's reads of notifications, broadcasts, dead letters, captures, instances and seen
receipts, the lookups that match delivery receipts, and changes of account health. Every call is one statement."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from clarion.domain.errors import DurabilityError, Overloaded
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
from clarion.stores.postgres.pool import Database, columns
from clarion.stores.postgres.state_fold import DELIVERY_COLUMNS, delivery
from clarion.stores.postgres.state_periods import END, END_TEXT, span_of
from clarion.stores.postgres.state_repeat import repeatable, rows_of
from clarion.stores.postgres.state_where import Where, dead_letters_where
from clarion.stores.postgres.tenancy import Tenants, within


def _columns(kind: type, table: str = "") -> str:
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + name for name in kind.__struct_fields__)  # type: ignore[attr-defined]


_NOTIFICATION: Final = f"SELECT {_columns(Notification)} FROM notifications WHERE tenant = $1"  # noqa: S608
# A lateral look-up uses the index whatever the statistics say.
_DELIVERIES_OF: Final = f"""SELECT d.* FROM unnest($1::bytea[]) AS w (id), LATERAL (
    SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE deliveries.id >= w.id AND deliveries.id <= w.id || '{END_TEXT}'::bytea
    AND id BETWEEN $3 AND $4 AND tenant = $2 ORDER BY planned_ms, id LIMIT $5) AS d"""  # noqa: S608
_DELIVERIES: Final = f"""SELECT d.* FROM unnest($1::bytea[]) AS w (id), LATERAL (
    SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE deliveries.id = w.id AND id BETWEEN $3 AND $4
    AND tenant = $2 OFFSET 0) AS d"""  # noqa: S608
_ATTEMPTS: Final = f"""SELECT a.* FROM unnest($1::bytea[]) WITH ORDINALITY AS w (id, nr), LATERAL (
    SELECT {_columns(Attempt)} FROM attempts WHERE delivery_id = w.id AND delivery_id BETWEEN $3 AND $4
    AND tenant = $2 OFFSET 0) AS a
    ORDER BY nr, attempt, finished_ms, event"""  # noqa: S608
_CANCELLED: Final = """SELECT c.id, c.at_ms FROM unnest($1::bytea[]) AS w (id), LATERAL (
    SELECT id, at_ms FROM subject_cancellations AS s WHERE s.tenant = $2 AND s.id = w.id AND s.id BETWEEN $3 AND $4
    OFFSET 0) AS c"""
_TOTALS: Final = """SELECT channel, state, reason, count FROM broadcast_totals
    WHERE tenant = $1 AND broadcast_id = $2 AND count > 0 ORDER BY channel, state, reason"""
_CHUNKS: Final = f"""SELECT {_columns(Chunk, "chunks")}, {_columns(ChunkState, "chunk_states")}
    FROM chunks JOIN chunk_states USING (chunk_id, tenant)
    WHERE chunks.chunk_id >= $1 AND chunks.chunk_id <= $2 AND tenant = $3"""  # noqa: S608
_DEAD: Final = f"SELECT {_columns(DeadLetter)} FROM dead_letters WHERE tenant = $1"  # noqa: S608
_CAPTURES: Final = f"SELECT {_columns(Capture)} FROM captures WHERE tenant = $1"  # noqa: S608
_COUNTERS: Final = """SELECT minute_ms, channel, what, reason, count FROM counters
    WHERE tenant = $1 AND minute_ms >= $2 AND minute_ms < $3 ORDER BY minute_ms, channel, what, reason LIMIT $4"""
_FACTS: Final = "SELECT digest, facts FROM request_facts WHERE tenant = $1 AND digest = ANY ($2::bytea[])"
# Rows are locked in one order, so that claims of the same letters wait for each other.
_HELD: Final = """WITH held AS MATERIALIZED (
        SELECT delivery_id FROM dead_letters WHERE tenant = $1 AND delivery_id = ANY ($2::bytea[])
        ORDER BY delivery_id FOR UPDATE
    ) UPDATE dead_letters AS d"""
_CLAIM: Final = f"""{_HELD} SET claimed_ms = $3 FROM held
    WHERE {{scope}} AND d.tenant = $1 AND d.delivery_id = held.delivery_id AND d.replayed_ms IS NULL
    AND (d.claimed_ms IS NULL OR d.claimed_ms <= $4) RETURNING d.delivery_id"""
_SETTLE: Final = f"""{_HELD} SET replayed_ms = d.claimed_ms FROM held
    WHERE {{scope}} AND d.tenant = $1 AND d.delivery_id = held.delivery_id AND d.claimed_ms = $3 AND d.replayed_ms IS NULL"""
_INSTANCES: Final = f"""SELECT i.* FROM unnest($1::bytea[]) AS w (id), LATERAL (
    SELECT {_columns(Instance)} FROM instances WHERE instances.id >= w.id AND instances.id <= w.id || '{END_TEXT}'::bytea
    AND id BETWEEN $3 AND $4 AND tenant = $2 ORDER BY user_id, id LIMIT $5) AS i"""  # noqa: S608
_PROGRESS: Final = """SELECT p.instance_id, i.notification_id, p.tenant, i.user_id, i.workflow, i.version, p.step, p.event,
    p.at_ms, p.detail FROM unnest($1::bytea[]) WITH ORDINALITY AS w (id, nr),
    LATERAL (SELECT * FROM instances WHERE instances.id = w.id AND id BETWEEN $3 AND $4 AND tenant = $2 OFFSET 0) AS i,
    LATERAL (SELECT * FROM progress WHERE instance_id = w.id AND instance_id BETWEEN $3 AND $4 AND tenant = $2 OFFSET 0) AS p
    ORDER BY w.nr, p.sequence"""
_SEEN_MS: Final = """SELECT w.tenant, w.notification_id, w.user_id, s.last_ms
    FROM unnest($1::text[], $2::bytea[], $3::text[]) AS w (tenant, notification_id, user_id), LATERAL (
        SELECT last_ms FROM seen_receipts AS s
        WHERE s.tenant = w.tenant AND s.notification_id = w.notification_id AND s.user_id = w.user_id OFFSET 0) AS s"""
_SEEN_BY: Final = """SELECT user_id, first_ms FROM seen_receipts WHERE tenant = $1 AND notification_id = $2
    ORDER BY user_id LIMIT $3"""
# An id may be of a delivery that has been sent again since.
_BY_VENDOR_ID: Final = f"""SELECT d.* FROM unnest($1::text[]) AS w (vendor_message_id), LATERAL (
        SELECT delivery_id FROM delivery_vendor_ids AS v
        WHERE v.tenant = $2 AND v.vendor = $3 AND v.vendor_message_id = w.vendor_message_id OFFSET 0) AS v, LATERAL (
        SELECT {DELIVERY_COLUMNS} FROM deliveries AS d WHERE d.id = v.delivery_id AND d.tenant = $2
        AND d.vendor = $3 AND d.vendor_message_id = w.vendor_message_id OFFSET 0) AS d"""  # noqa: S608
_CHUNKS_BY_ID: Final = f"""SELECT c.* FROM unnest($1::bytea[]) AS w (id), LATERAL (
    SELECT {_columns(Chunk)} FROM chunks WHERE chunk_id = w.id AND chunk_id BETWEEN $3 AND $4 AND tenant = $2 OFFSET 0) AS c"""  # noqa: S608
_HEALTH_CHANGES: Final = f"""SELECT {_columns(HealthChange)} FROM health_changes
    WHERE tenant = $1 AND at_ms >= $2 AND at_ms < $3 AND ($4::text IS NULL OR provider = $4)
    ORDER BY at_ms DESC, sequence DESC LIMIT $5"""  # noqa: S608
_CHUNK_WIDTH: Final = len(Chunk.__struct_fields__)


class StateHistory:
    """Implements `ports.history.History` and `ports.receipt_lookup.ReceiptLookup`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def notification(self, tenant: str, notification_id: bytes) -> Notification | None:
        """Return a notification that was planned or scheduled, or None."""
        rows = await self._rows(tenant, f"{_NOTIFICATION} AND id = $2", tenant, notification_id)
        return Notification(*rows[0]) if rows else None

    async def notifications(self, tenant: str, window: ListWindow) -> list[Notification]:
        """Return notifications, newest first."""
        where = Where(_NOTIFICATION, tenant)
        where.window("id", window)
        return [Notification(*row) for row in await self._rows(tenant, where.statement, *where.values)]

    async def deliveries_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Delivery]]:
        """Return the deliveries of notifications that have a row, those of 1,000 recipients at most of each."""
        values = (notification_ids, tenant, *span_of(notification_ids), 8 * RECIPIENTS_MAX)
        found: dict[bytes, list[Delivery]] = {}
        for row in map(delivery, await self._rows(tenant, _DELIVERIES_OF, *values)):
            found.setdefault(notification_of(row.id), []).append(row)
        return found

    async def request_facts(self, tenant: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the shared facts (JSON) behind the decisions on the tenant's deliveries with these digests."""
        return dict(await self._rows(tenant, _FACTS, tenant, list(digests)))

    async def deliveries(self, tenant: str, delivery_ids: Sequence[bytes]) -> dict[bytes, Delivery]:
        """Return deliveries by id."""
        rows = await self._rows(tenant, _DELIVERIES, delivery_ids, tenant, *span_of(delivery_ids))
        return {row[0]: delivery(row) for row in rows}

    async def attempts_of(self, tenant: str, delivery_ids: Sequence[bytes]) -> list[Attempt]:
        """Return the attempts and events of deliveries other than their acceptance, by delivery and in order."""
        return [
            Attempt(*row) for row in await self._rows(tenant, _ATTEMPTS, delivery_ids, tenant, *span_of(delivery_ids))
        ]

    async def cancellations(self, tenant: str, subject_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return when notifications or broadcasts were cancelled; those that were not are left out."""
        return dict(await self._rows(tenant, _CANCELLED, subject_ids, tenant, *span_of(subject_ids)))

    async def totals(self, tenant: str, broadcast_id: bytes) -> list[tuple[str, int, int, int]]:
        """Return (channel, state, reason, deliveries) of a broadcast."""
        return [tuple(row) for row in await self._rows(tenant, _TOTALS, tenant, broadcast_id)]

    async def chunks(
        self, tenant: str, broadcast_id: bytes, after: bytes | None, limit: int, ordinal: int | None = None
    ) -> list[tuple[Chunk, ChunkState]]:
        """Return chunks of a broadcast with ids from `after` on, ascending; with `ordinal` only those whose range holds
        it."""
        where = Where(_CHUNKS, after or broadcast_id, broadcast_id + END, tenant)
        where.also("min_ordinal <=", ordinal)
        where.also("max_ordinal >=", ordinal)
        rows = await self._rows(tenant, *where.ordered("chunks.chunk_id", limit))
        return [(Chunk(*row[:_CHUNK_WIDTH]), ChunkState(*row[_CHUNK_WIDTH:])) for row in rows]

    async def dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        where = dead_letters_where(_DEAD, tenant, only)
        where.window("delivery_id", window)
        return [DeadLetter(*row) for row in await self._rows(tenant, where.statement, *where.values)]

    async def count_dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> int:
        """Return the number of dead letters, `window.limit` at most."""
        where = dead_letters_where("SELECT 1 FROM dead_letters WHERE tenant = $1", tenant, only)
        where.window("delivery_id", window)
        rows = await self._rows(tenant, f"SELECT count(*) FROM ({where.statement}) AS found", *where.values)  # noqa: S608
        return int(rows[0][0]) if rows else 0

    async def dead_letter(self, tenant: str, delivery_id: bytes) -> DeadLetter | None:
        """Return one dead letter, or None when there is none."""
        rows = await self._rows(tenant, f"{_DEAD} AND delivery_id = $2", tenant, delivery_id)
        return DeadLetter(*rows[0]) if rows else None

    async def claim_replays(self, tenant: str, delivery_ids: Sequence[bytes], now_ms: int) -> set[bytes]:
        """Claim dead letters for replay and return the ids of those that the caller has claimed now. Raises `Overloaded`
        when it cannot be done now."""
        values = (tenant, delivery_ids, now_ms, now_ms - REPLAY_CLAIM_MS)
        try:
            rows = await self._database.run(lambda db: db.fetch(*within(tenant, _CLAIM, *values)))
        except DurabilityError as error:  # what may have been claimed can be claimed again a minute later
            raise Overloaded("PostgreSQL did not say whether it has stored this; repeat the request") from error
        return {row[0] for row in rows}

    async def settle_replays(self, tenant: str, delivery_ids: Sequence[bytes], claimed_ms: int) -> None:
        """Mark dead letters that were claimed at `claimed_ms` and are on the journal now as replayed."""
        values = (tenant, delivery_ids, claimed_ms)
        await repeatable(self._database, lambda db: db.execute(*within(tenant, _SETTLE, *values)))

    async def captures(
        self, tenant: str, window: ListWindow, channel: str | None, user_id: str | None
    ) -> list[Capture]:
        """Return captured sandbox messages, newest first."""
        where = Where(_CAPTURES, tenant)
        where.also("channel =", channel)
        where.also("user_id =", user_id)
        where.window("delivery_id", window)
        return [Capture(*row) for row in await self._rows(tenant, where.statement, *where.values)]

    async def counters(self, tenant: str, from_ms: int, to_ms: int, limit: int) -> list[tuple[int, str, str, int, int]]:
        """Return (minute, channel, event, reason, count) in order of time."""
        return [tuple(row) for row in await self._rows(tenant, _COUNTERS, tenant, from_ms, to_ms, limit)]

    async def instances_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Instance]]:
        """Return the workflow instances of notifications, by user."""
        values = (notification_ids, tenant, *span_of(notification_ids), RECIPIENTS_MAX)
        found: dict[bytes, list[Instance]] = {}
        for row in await self._rows(tenant, _INSTANCES, *values):
            instance = Instance(*row)
            found.setdefault(instance.notification_id, []).append(instance)
        return found

    async def progress_of(self, tenant: str, instance_ids: Sequence[bytes]) -> list[Progress]:
        """Return the progress of instances, by instance and in order."""
        return [
            Progress(*row) for row in await self._rows(tenant, _PROGRESS, instance_ids, tenant, *span_of(instance_ids))
        ]

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        """Return the time of the last seen receipt for those pairs of user and notification that have one."""
        rows = await self._rows({tenant for tenant, _, _ in wanted}, _SEEN_MS, *columns(list(wanted), 3))
        return {(tenant, id_, user_id): at_ms for tenant, id_, user_id, at_ms in rows}

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        """Return the users who saw the notification with the time of their first seen receipt, in the order of user
        ids."""
        return [tuple(row) for row in await self._rows(tenant, _SEEN_BY, tenant, notification_id, RECIPIENTS_MAX)]

    async def deliveries_by_vendor_id(
        self, tenant: str, vendor: str, vendor_message_ids: Sequence[str]
    ) -> dict[str, Delivery]:
        """Return deliveries by the vendor's own message ids."""
        rows = await self._rows(tenant, _BY_VENDOR_ID, vendor_message_ids, tenant, vendor)
        return {row["vendor_message_id"]: delivery(row) for row in rows}

    async def chunks_by_id(self, tenant: str, chunk_ids: Sequence[bytes]) -> dict[bytes, Chunk]:
        """Return chunks of broadcasts."""
        return {
            row[0]: Chunk(*row)
            for row in await self._rows(tenant, _CHUNKS_BY_ID, chunk_ids, tenant, *span_of(chunk_ids))
        }

    async def health_changes(
        self, tenant: str, provider: str | None, from_ms: int, to_ms: int, limit: int
    ) -> list[HealthChange]:
        """Return changes of account health, newest first."""
        rows = await self._rows(tenant, _HEALTH_CHANGES, tenant, from_ms, to_ms, provider, limit)
        return [HealthChange(*row) for row in rows]

    async def _rows(self, tenants: Tenants, statement: str, *values: Any) -> list[Any]:
        return await rows_of(self._database, tenants, statement, *values)
