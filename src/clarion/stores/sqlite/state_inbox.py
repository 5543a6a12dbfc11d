"""The inbox side of `state.db`: a user's own items, the broadcasts sent to the user, and the user's marks."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from clarion.domain.delivery_state import State
from clarion.domain.history import InboxItem
from clarion.domain.ids import NOTIFICATION_ID_BYTES, delivery_id, notification_of
from clarion.ports.inbox import Broadcast, Horizon, Mark
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.state_threads import Threads

_CHANNEL: Final = "inapp"
_TOP: Final = b"\xff" * 24
_UNPACK: Final = msgspec.msgpack.decode

_SPANS: Final = """SELECT broadcast_id, widest FROM broadcast_spans WHERE tenant = ? AND channel = 'inapp'
    AND broadcast_id <= ? AND min_ordinal <= ? AND max_ordinal >= ? ORDER BY broadcast_id DESC LIMIT ?"""
_SPAN: Final = """SELECT broadcast_id, widest FROM broadcast_spans
    WHERE tenant = ? AND channel = 'inapp' AND broadcast_id = ?"""
_CHUNKS: Final = """SELECT chunk_id FROM chunk_spans WHERE tenant = ? AND broadcast_id = ? AND channel = 'inapp'
    AND min_ordinal BETWEEN ? AND ? AND max_ordinal >= ?"""
_ORDINALS: Final = "SELECT ordinals FROM chunks WHERE chunk_id = ? AND tenant = ?"
_BODY: Final = """SELECT planned_ms, content, addresses, users, states FROM chunks
    JOIN chunk_states USING (chunk_id, tenant) WHERE chunk_id = ? AND tenant = ?"""
_MARK: Final = """INSERT INTO inbox_marks VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    seen_ms = CASE WHEN coalesce(seen_ms, 0) = 0 THEN coalesce(excluded.seen_ms, seen_ms) ELSE seen_ms END,
    read_ms = CASE WHEN coalesce(read_ms, 0) = 0 OR excluded.read_ms = 0
                   THEN coalesce(excluded.read_ms, read_ms) ELSE read_ms END,
    archived_ms = CASE WHEN coalesce(archived_ms, 0) = 0 OR excluded.archived_ms = 0
                       THEN coalesce(excluded.archived_ms, archived_ms) ELSE archived_ms END"""
_HORIZON: Final = """INSERT INTO inbox_horizons VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET item_id = excluded.item_id, at_ms = excluded.at_ms WHERE item_id < excluded.item_id"""
_SHOWN: Final = frozenset({State.SENT, State.DELIVERED})


class StateInbox:
    """Implements `ports.inbox.Inbox`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def items(self, tenant: str, user_id: str, before: bytes | None, limit: int) -> list[InboxItem]:
        """Return the user's own items with ids below `before`, newest first."""
        rows = self._threads.reader().execute(
            """SELECT tenant, user_id, item_id, created_ms, content FROM inbox_items
               WHERE tenant = ? AND user_id = ? AND item_id < ? ORDER BY item_id DESC LIMIT ?""",
            (tenant, user_id, before or _TOP, limit),
        )
        return [InboxItem(*row) for row in rows]

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: bytes | None, limit: int
    ) -> tuple[list[Broadcast], bytes | None]:
        """Examine the next `limit` in-app broadcasts whose range holds the ordinal. Return those sent to the user,
        newest first, and the id of the last one examined when there are more."""
        db = self._threads.reader()
        top = (before or _TOP)[:NOTIFICATION_ID_BYTES]
        spans = fetch_all(db, _SPANS, (tenant, top, ordinal, ordinal, limit))
        found = (_find(db, tenant, user_id, ordinal, *span) for span in spans)
        held = [item for item in found if item is not None and (before is None or item.item_id < before)]
        return held, spans[-1][0] if len(spans) == limit else None

    async def item(self, tenant: str, user_id: str, ordinal: int | None, item_id: bytes) -> bool:
        """Return whether the user has that item, be it a single notification or a broadcast."""
        db = self._threads.reader()
        own = "SELECT 1 FROM inbox_items WHERE tenant = ? AND user_id = ? AND item_id = ?"
        if db.execute(own, (tenant, user_id, item_id)).fetchone() is not None:
            return True
        span = db.execute(_SPAN, (tenant, notification_of(item_id))).fetchone()
        if ordinal is None or span is None:
            return False
        found = _find(db, tenant, user_id, ordinal, *span)
        return found is not None and found.item_id == item_id

    async def marks(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> dict[bytes, Mark]:
        """Return the user's marks on those items, by item id."""
        rows = self._threads.reader().executemany(
            """SELECT item_id, seen_ms, read_ms, archived_ms FROM inbox_marks
               WHERE tenant = ? AND user_id = ? AND item_id = ?""",
            [(tenant, user_id, item_id) for item_id in item_ids],
        )
        return {row[0]: Mark(*row) for row in rows}

    async def horizon(self, tenant: str, user_id: str) -> Horizon | None:
        """Return the item and time up to which the user has read everything, or None."""
        statement = "SELECT item_id, at_ms FROM inbox_horizons WHERE tenant = ? AND user_id = ?"
        row = self._threads.reader().execute(statement, (tenant, user_id)).fetchone()
        return None if row is None else Horizon(*row)

    async def mark(self, tenant: str, user_id: str, mark: Mark) -> None:
        """Set the fields of a mark that are not None, durably; the first time of seeing or reading an item is not
        overwritten."""
        values = (tenant, user_id, mark.item_id, mark.seen_ms, mark.read_ms, mark.archived_ms)
        await self._threads.write(lambda db: db.execute(_MARK, values))

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, durably; unread marks of items below it are dropped."""
        await self._threads.write(lambda db: _read_all(db, tenant, user_id, horizon))


def _read_all(db: apsw.Connection, tenant: str, user_id: str, horizon: Horizon) -> None:
    db.execute(_HORIZON, (tenant, user_id, horizon.item_id, horizon.at_ms))
    db.execute(
        """UPDATE inbox_marks SET read_ms = NULL
           WHERE tenant = ? AND user_id = ? AND item_id <= ? AND read_ms = 0""",
        (tenant, user_id, horizon.item_id),
    )


def _find(
    db: apsw.Connection, tenant: str, user_id: str, ordinal: int, broadcast_id: bytes, widest: int
) -> Broadcast | None:
    """Return a broadcast's in-app delivery to one user, or None when there is none or it was not sent."""
    spans = fetch_all(db, _CHUNKS, (tenant, broadcast_id, ordinal - widest, ordinal, ordinal))
    for (chunk_id,) in spans:
        ordinals = array("Q", fetch_all(db, _ORDINALS, (chunk_id, tenant))[0][0])
        index = bisect_left(ordinals, ordinal)
        if index < len(ordinals) and ordinals[index] == ordinal:
            body = fetch_all(db, _BODY, (chunk_id, tenant))[0]
            return _shown(body, index, user_id, broadcast_id)
    return None


def _shown(body: tuple[Any, ...], index: int, user_id: str, broadcast_id: bytes) -> Broadcast | None:
    planned_ms, content, addresses, users, states = body
    if states[index] not in _SHOWN:
        return None
    address = _UNPACK(addresses)[index] if addresses else ""
    return Broadcast(
        item_id=delivery_id(broadcast_id, user_id, _CHANNEL, address),
        created_ms=planned_ms,
        content=_UNPACK(users)[index] if users else _UNPACK(content),
    )
