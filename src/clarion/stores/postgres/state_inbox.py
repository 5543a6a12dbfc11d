"""The inbox on PostgreSQL: a user's own items, the broadcasts sent to the user, and the user's marks."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from clarion.domain.ids import notification_of
from clarion.domain.inbox import TOP, ChangedInboxes, Horizon, Item, ItemFacts, ItemPlace, Mark, Position
from clarion.domain.limits_processes import INBOX_COLLAPSES_MAX
from clarion.ports.inbox import Head, Scan
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.runtime.inbox_signal import changed_inboxes
from clarion.stores.postgres.inbox_signals import CHANNEL, NotifiedInboxSignals
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.sql_files import sql
from clarion.stores.postgres.state_items import STATES, epoch_of, item_of, shown
from clarion.stores.postgres.state_missed import missed, positions
from clarion.stores.postgres.state_repeat import repeatable, rows_of
from clarion.stores.postgres.tenancy import within

_HEAD: Final = """SELECT (SELECT epoch FROM inbox_epochs) AS epoch,
    coalesce((SELECT u.own_seq FROM inbox_users AS u WHERE u.tenant = $1 AND u.user_id = $2), 0) AS own,
    coalesce((SELECT t.shared_seq FROM inbox_tenants AS t WHERE t.tenant = $1), 0) AS shared,
    h.own_seq, h.shared_seq, h.at_ms, h.seq
    FROM (VALUES (1)) AS one LEFT JOIN inbox_horizons AS h ON h.tenant = $1 AND h.user_id = $2"""
_COLUMNS: Final = "item_id, created_ms, content, shared_seq, own_seq, category, expires_ms, collapse_key"
_ITEMS: Final = f"""SELECT {_COLUMNS} FROM inbox_items WHERE tenant = $1 AND user_id = $2
    AND (shared_seq, own_seq) < ($3::bigint, $4::bigint) ORDER BY shared_seq DESC, own_seq DESC LIMIT $5"""  # noqa: S608
_FIND: Final = f"""SELECT {_COLUMNS} FROM inbox_items
    WHERE tenant = $1 AND user_id = $2 AND item_id = ANY ($3::bytea[])"""  # noqa: S608
_BROADCASTS: Final = sql("state_broadcasts").replace(
    "    {spans}",
    """    SELECT broadcast_id, widest, last_seq FROM broadcast_spans WHERE tenant = $1 AND channel = 'inapp'
    AND last_seq <= $4 AND first_seq < $5 AND min_ordinal <= $2 AND max_ordinal >= $2
    ORDER BY last_seq DESC LIMIT $6""",
)
_BROADCASTS_BY_ID: Final = sql("state_broadcasts").replace(
    "    {spans}",
    """    SELECT broadcast_id, widest, last_seq FROM broadcast_spans WHERE tenant = $1 AND channel = 'inapp'
    AND broadcast_id = ANY ($4::bytea[])""",
)
_MARKS: Final = """SELECT item_id, seen_ms, read_ms, archived_ms, snoozed_ms, deleted_ms, read_seq FROM inbox_marks
    WHERE tenant = $1 AND user_id = $2 AND item_id = ANY ($3::bytea[])"""
_WITHDRAWN: Final = (
    "SELECT notification_id FROM inbox_withdrawals WHERE tenant = $1 AND notification_id = ANY ($2::bytea[])"
)
_NEWEST: Final = """SELECT k.key, i.shared_seq, i.own_seq FROM unnest($3::text[]) AS k (key)
    CROSS JOIN LATERAL (SELECT shared_seq, own_seq FROM inbox_items WHERE tenant = $1 AND user_id = $2
        AND collapse_key = k.key AND collapse_key <> '' ORDER BY shared_seq DESC, own_seq DESC LIMIT 1) AS i"""
_COLLAPSES: Final = """SELECT b.broadcast_id FROM unnest($2::text[]) AS k (key)
    CROSS JOIN LATERAL (SELECT broadcast_id FROM broadcast_collapses WHERE tenant = $1 AND collapse_key = k.key
        ORDER BY broadcast_id DESC LIMIT $3) AS b"""
_REQUESTS: Final = "SELECT id, request FROM notifications WHERE tenant = $1 AND id = ANY ($2::bytea[])"
_OWN_STEP: Final = """WITH step AS (
        INSERT INTO inbox_users AS u VALUES ($1, $2, 1)
        ON CONFLICT (tenant, user_id) DO UPDATE SET own_seq = u.own_seq + 1 RETURNING own_seq
    )"""
_MARK: Final = f"""{_OWN_STEP}
    INSERT INTO inbox_marks AS m (
        tenant, user_id, item_id, seen_ms, read_ms, archived_ms, snoozed_ms, deleted_ms, read_seq, seq)
    SELECT $1, $2, i.id, i.seen, i.read, i.archived, i.snoozed, i.deleted,
        CASE WHEN i.read IS NULL THEN 0 ELSE step.own_seq END, step.own_seq
    FROM step, unnest($3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
        AS i (id, seen, read, archived, snoozed, deleted) WHERE {{scope}}
    ON CONFLICT (tenant, user_id, item_id) DO UPDATE SET
    seen_ms = CASE WHEN coalesce(m.seen_ms, 0) = 0 THEN coalesce(excluded.seen_ms, m.seen_ms) ELSE m.seen_ms END,
    read_ms = CASE WHEN coalesce(m.read_ms, 0) = 0 OR excluded.read_ms = 0
                   THEN coalesce(excluded.read_ms, m.read_ms) ELSE m.read_ms END,
    archived_ms = CASE WHEN coalesce(m.archived_ms, 0) = 0 OR excluded.archived_ms = 0
                       THEN coalesce(excluded.archived_ms, m.archived_ms) ELSE m.archived_ms END,
    snoozed_ms = coalesce(excluded.snoozed_ms, m.snoozed_ms),
    deleted_ms = CASE WHEN coalesce(m.deleted_ms, 0) = 0 OR excluded.deleted_ms = 0
                      THEN coalesce(excluded.deleted_ms, m.deleted_ms) ELSE m.deleted_ms END,
    read_seq = greatest(m.read_seq, excluded.read_seq), seq = excluded.seq
    RETURNING pg_notify('{CHANNEL}', $9)"""  # noqa: S608
_READ_ALL: Final = f"""{_OWN_STEP}
    INSERT INTO inbox_horizons AS h (tenant, user_id, item_id, at_ms, own_seq, shared_seq, seq)
    SELECT $1, $2, ''::bytea, $3::bigint, $4::bigint, $5::bigint, step.own_seq FROM step WHERE {{scope}}
    ON CONFLICT (tenant, user_id) DO UPDATE SET
    at_ms = CASE WHEN excluded.own_seq > h.own_seq OR excluded.shared_seq > h.shared_seq
                 THEN excluded.at_ms ELSE h.at_ms END,
    own_seq = greatest(h.own_seq, excluded.own_seq), shared_seq = greatest(h.shared_seq, excluded.shared_seq),
    seq = excluded.seq RETURNING pg_notify('{CHANNEL}', $6)"""  # noqa: S608
_WITHDRAW: Final = f"""WITH step AS (
        INSERT INTO inbox_tenants AS t
        SELECT $1, 1 WHERE NOT EXISTS (SELECT 1 FROM inbox_withdrawals WHERE tenant = $1 AND notification_id = $2)
        ON CONFLICT (tenant) DO UPDATE SET shared_seq = t.shared_seq + 1 RETURNING shared_seq
    )
    INSERT INTO inbox_withdrawals SELECT $1, $2, step.shared_seq, $3::bigint FROM step WHERE {{scope}}
    ON CONFLICT DO NOTHING RETURNING pg_notify('{CHANNEL}', $4)"""  # noqa: S608


class StateInbox:
    """Implements `ports.inbox.Inbox` and `ports.inbox_feed.InboxFeed`."""

    def __init__(self, database: Database, signals: NotifiedInboxSignals) -> None:
        self._database = database
        self._signals = signals

    async def head(self, tenant: str, user_id: str) -> Head:
        """Return the user's position and horizon."""
        row = (await self._database.fetch(tenant, _HEAD, tenant, user_id))[0]
        horizon = tuple(row)[3:]
        return Head(
            Position(epoch_of(row["epoch"], self._database.timeline), row["own"], row["shared"]),
            None if horizon[0] is None else Horizon(*horizon),
        )

    async def items(self, tenant: str, user_id: str, before: ItemPlace | None, limit: int) -> list[Item]:
        """Return the user's own items below a place, newest first."""
        rows = await rows_of(self._database, tenant, _ITEMS, tenant, user_id, *(before or TOP), limit)
        return [item_of(row) for row in rows]

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: int | None, floor: int | None, limit: int
    ) -> Scan:
        """Examine the next `limit` in-app broadcasts, by their last arrival."""
        top = TOP[0] if before is None else before
        values = (tenant, ordinal, STATES, TOP[0] if floor is None else floor, top, limit)
        rows = await rows_of(self._database, tenant, _BROADCASTS, *values)
        found = (shown(row, user_id) for row in rows)
        items = sorted(
            (one for one in found if one and one.place.shared < top), key=lambda one: one.place, reverse=True
        )
        return Scan(items, rows[-1]["last_seq"] - 1 if len(rows) == limit else None)

    async def find(
        self, tenant: str, user_id: str, ordinal: int | None, item_ids: Sequence[bytes]
    ) -> dict[bytes, Item]:
        """Return those of the items that the user has, by id."""
        rows = await rows_of(self._database, tenant, _FIND, tenant, user_id, item_ids)
        found = {item.item_id: item for item in map(item_of, rows)}
        rest = {id_ for id_ in item_ids if id_ not in found}
        shared = await self._shared(tenant, user_id, ordinal, list(set(map(notification_of, rest))))
        return found | {item.item_id: item for item in shared if item.item_id in rest}

    async def facts(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> ItemFacts:
        """Return what is stored about items of the user."""
        marks = await rows_of(self._database, tenant, _MARKS, tenant, user_id, item_ids)
        ids = list(set(map(notification_of, item_ids)))
        withdrawn = await rows_of(self._database, tenant, _WITHDRAWN, tenant, ids) if ids else []
        return ItemFacts({row["item_id"]: Mark(*row) for row in marks}, {row[0] for row in withdrawn})

    async def newest_of(
        self, tenant: str, user_id: str, ordinal: int | None, collapse_keys: Collection[str]
    ) -> dict[str, ItemPlace]:
        """Return the place of the user's newest item with each collapse key."""
        keys = list(collapse_keys)
        own = await rows_of(self._database, tenant, _NEWEST, tenant, user_id, keys)
        broadcasts = await rows_of(self._database, tenant, _COLLAPSES, tenant, keys, INBOX_COLLAPSES_MAX)
        newest = {key: ItemPlace(shared, seq) for key, shared, seq in own}
        for item in await self._shared(tenant, user_id, ordinal, list({row[0] for row in broadcasts})):
            if item.collapse_key in collapse_keys:
                newest[item.collapse_key] = max(item.place, newest.get(item.collapse_key, item.place))
        return newest

    async def requests(self, tenant: str, notification_ids: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the requests of notifications, in MessagePack."""
        rows = await rows_of(self._database, tenant, _REQUESTS, tenant, list(notification_ids))
        return {row["id"]: row["request"] for row in rows}

    async def mark(self, tenant: str, user_id: str, marks: Sequence[Mark]) -> None:
        """Set the fields of marks that are not None, durably and as one step of the user's own sequence."""
        columns = [
            [getattr(mark, name) for mark in marks]
            for name in ("item_id", "seen_ms", "read_ms", "archived_ms", "snoozed_ms", "deleted_ms")
        ]
        await self._write(tenant, changed_inboxes([(tenant, user_id)]), _MARK, tenant, user_id, *columns)

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, durably and as one step of the user's own sequence."""
        values = (tenant, user_id, horizon.at_ms, horizon.own, horizon.shared)
        await self._write(tenant, changed_inboxes([(tenant, user_id)]), _READ_ALL, *values)

    async def withdraw(self, tenant: str, notification_id: bytes, at_ms: int) -> None:
        """Take the items of a notification or broadcast out of all inboxes, durably."""
        await self._write(tenant, changed_inboxes((), [tenant]), _WITHDRAW, tenant, notification_id, at_ms)

    async def positions(self, users: Sequence[tuple[str, str]]) -> list[Position]:
        """Return where the inboxes of users are."""
        return await positions(self._database, users)

    async def missed(self, wanted: Sequence[Wanted]) -> list[Missed]:
        """Return for each user what changed between two positions."""
        return await missed(self._database, wanted)

    async def _write(self, tenant: str, changed: ChangedInboxes, statement: str, *values: Any) -> None:
        """Run a statement whose last value is the message that tells other processes of it."""
        (message,) = self._signals.messages(changed)
        await repeatable(self._database, lambda db: db.execute(*within(tenant, statement, *values, message)))
        self._signals.notify(changed)

    async def _shared(self, tenant: str, user_id: str, ordinal: int | None, broadcasts: list[bytes]) -> list[Item]:
        if ordinal is None or not broadcasts:
            return []
        rows = await rows_of(self._database, tenant, _BROADCASTS_BY_ID, tenant, ordinal, STATES, broadcasts)
        return [item for item in (shown(row, user_id) for row in rows) if item is not None]
