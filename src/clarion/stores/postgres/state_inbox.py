"""The inbox on PostgreSQL: a user's own items, the broadcasts sent to the user, and the user's marks. Every call is one
statement."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.delivery_state import State
from clarion.domain.history import InboxItem
from clarion.domain.ids import NOTIFICATION_ID_BYTES, delivery_id, notification_of
from clarion.ports.inbox import Broadcast, Horizon, Mark
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.sql_files import sql
from clarion.stores.postgres.state_repeat import repeatable, rows_of
from clarion.stores.postgres.tenancy import within

_CHANNEL: Final = "inapp"
_TOP: Final = b"\xff" * 24
_SHOWN: Final = (int(State.SENT), int(State.DELIVERED))
_UNPACK: Final = msgspec.msgpack.decode

_BROADCASTS: Final = sql("state_broadcasts")
_ITEMS: Final = """SELECT tenant, user_id, item_id, created_ms, content FROM inbox_items
    WHERE tenant = $1 AND user_id = $2 AND item_id < $3 ORDER BY item_id DESC LIMIT $4"""
_OWN: Final = "SELECT 1 FROM inbox_items WHERE tenant = $1 AND user_id = $2 AND item_id = $3"
_MARKS: Final = """SELECT item_id, seen_ms, read_ms, archived_ms FROM inbox_marks
    WHERE tenant = $1 AND user_id = $2 AND item_id = ANY ($3::bytea[])"""
_MARK: Final = """INSERT INTO inbox_marks AS m
    SELECT $1, $2, $3, $4::bigint, $5::bigint, $6::bigint WHERE {scope}
    ON CONFLICT (tenant, user_id, item_id) DO UPDATE SET
    seen_ms = CASE WHEN coalesce(m.seen_ms, 0) = 0 THEN coalesce(excluded.seen_ms, m.seen_ms) ELSE m.seen_ms END,
    read_ms = CASE WHEN coalesce(m.read_ms, 0) = 0 OR excluded.read_ms = 0
                   THEN coalesce(excluded.read_ms, m.read_ms) ELSE m.read_ms END,
    archived_ms = CASE WHEN coalesce(m.archived_ms, 0) = 0 OR excluded.archived_ms = 0
                       THEN coalesce(excluded.archived_ms, m.archived_ms) ELSE m.archived_ms END"""
# The update is executed before the insert, to which nothing refers.
_READ_ALL: Final = """WITH horizon AS (
        INSERT INTO inbox_horizons AS h VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, user_id) DO UPDATE SET
            item_id = excluded.item_id, at_ms = excluded.at_ms WHERE h.item_id < excluded.item_id
    )
    UPDATE inbox_marks SET read_ms = NULL WHERE {scope} AND tenant = $1 AND user_id = $2 AND item_id <= $3 AND read_ms = 0"""


class StateInbox:
    """Implements `ports.inbox.Inbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def items(self, tenant: str, user_id: str, before: bytes | None, limit: int) -> list[InboxItem]:
        """Return the user's own items with ids below `before`, newest first."""
        rows = await rows_of(self._database, tenant, _ITEMS, tenant, user_id, before or _TOP, limit)
        return [InboxItem(*row) for row in rows]

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: bytes | None, limit: int
    ) -> tuple[list[Broadcast], bytes | None]:
        """Examine the next `limit` in-app broadcasts whose range holds the ordinal. Return those sent to the user,
        newest first, and the id of the last one examined when there are more."""
        top = (before or _TOP)[:NOTIFICATION_ID_BYTES]
        rows = await rows_of(self._database, tenant, _BROADCASTS, tenant, top, ordinal, limit, _SHOWN)
        found = (_shown(row, user_id) for row in rows)
        held = [item for item in found if item is not None and (before is None or item.item_id < before)]
        return held, rows[-1]["broadcast_id"] if len(rows) == limit else None

    async def item(self, tenant: str, user_id: str, ordinal: int | None, item_id: bytes) -> bool:
        """Return whether the user has that item, be it a single notification or a broadcast."""
        if await rows_of(self._database, tenant, _OWN, tenant, user_id, item_id):
            return True
        if ordinal is None:
            return False
        # The newest broadcast up to an id is the one with this id, if its range holds the ordinal.
        broadcast_id = notification_of(item_id)
        rows = await rows_of(self._database, tenant, _BROADCASTS, tenant, broadcast_id, ordinal, 1, _SHOWN)
        found = (_shown(row, user_id) for row in rows)
        return any(item is not None and item.item_id == item_id for item in found)

    async def marks(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> dict[bytes, Mark]:
        """Return the user's marks on those items, by item id."""
        rows = await rows_of(self._database, tenant, _MARKS, tenant, user_id, item_ids)
        return {row["item_id"]: Mark(*row) for row in rows}

    async def horizon(self, tenant: str, user_id: str) -> Horizon | None:
        """Return the item and time up to which the user has read everything, or None."""
        statement = "SELECT item_id, at_ms FROM inbox_horizons WHERE tenant = $1 AND user_id = $2"
        rows = await rows_of(self._database, tenant, statement, tenant, user_id)
        return Horizon(*rows[0]) if rows else None

    async def mark(self, tenant: str, user_id: str, mark: Mark) -> None:
        """Set the fields of a mark that are not None, durably; the first time of seeing or reading an item is not
        overwritten."""
        values = (tenant, user_id, mark.item_id, mark.seen_ms, mark.read_ms, mark.archived_ms)
        await repeatable(self._database, lambda db: db.execute(*within(tenant, _MARK, *values)))

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, durably; unread marks of items below it are dropped."""
        values = (tenant, user_id, horizon.item_id, horizon.at_ms)
        await repeatable(self._database, lambda db: db.execute(*within(tenant, _READ_ALL, *values)))


def _shown(row: Any, user_id: str) -> Broadcast | None:
    """Return a broadcast's delivery to one user, None when the row found none."""
    broadcast_id, place, planned_ms, content, addresses, users = row
    if place is None:
        return None
    address = _UNPACK(addresses)[place] if addresses else ""
    return Broadcast(
        item_id=delivery_id(broadcast_id, user_id, _CHANNEL, address),
        created_ms=planned_ms,
        content=_UNPACK(users)[place] if users else _UNPACK(content),
    )
