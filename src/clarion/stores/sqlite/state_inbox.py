"""The inbox side of `state.db`: a user's own items, the broadcasts sent to the user, and the user's marks."""

from collections.abc import Collection, Sequence
from typing import Final

import apsw

from clarion.domain.ids import notification_of
from clarion.domain.inbox import TOP, Horizon, Item, ItemFacts, ItemPlace, Mark, Position
from clarion.domain.limits_processes import INBOX_COLLAPSES_MAX
from clarion.ports.inbox import Head, Scan
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.runtime.inbox_signal import changed_inboxes
from clarion.stores.sqlite.connection import fetch_all, fetch_one
from clarion.stores.sqlite.inbox_signals import SharedInboxSignals
from clarion.stores.sqlite.state_items import HEAD, HORIZON, ITEM_COLUMNS, MARK_COLUMNS, WITHDRAWN, Chunks, item_of
from clarion.stores.sqlite.state_missed import missed, positions
from clarion.stores.sqlite.state_places import own_step, shared_step
from clarion.stores.sqlite.state_threads import Threads

_ITEMS: Final = f"""SELECT {ITEM_COLUMNS} FROM inbox_items WHERE tenant = ? AND user_id = ?
    AND (shared_seq, own_seq) < (?, ?) ORDER BY shared_seq DESC, own_seq DESC LIMIT ?"""  # noqa: S608
_ITEM: Final = f"SELECT {ITEM_COLUMNS} FROM inbox_items WHERE tenant = ? AND user_id = ? AND item_id = ?"  # noqa: S608
_SPANS: Final = """SELECT broadcast_id, widest, last_seq FROM broadcast_spans WHERE tenant = ? AND channel = 'inapp'
    AND last_seq <= ? AND first_seq < ? AND min_ordinal <= ? AND max_ordinal >= ? ORDER BY last_seq DESC LIMIT ?"""
_SPAN: Final = """SELECT broadcast_id, widest FROM broadcast_spans
    WHERE tenant = ? AND channel = 'inapp' AND broadcast_id = ?"""
_MARKS: Final = f"""SELECT {MARK_COLUMNS} FROM inbox_marks
    WHERE tenant = ? AND user_id = ? AND item_id = ?"""  # noqa: S608
_NEWEST: Final = """SELECT shared_seq, own_seq FROM inbox_items WHERE tenant = ? AND user_id = ? AND collapse_key = ?
    AND collapse_key <> '' ORDER BY shared_seq DESC, own_seq DESC LIMIT 1"""
_COLLAPSES: Final = """SELECT broadcast_id FROM broadcast_collapses WHERE tenant = ? AND collapse_key = ?
    ORDER BY broadcast_id DESC LIMIT ?"""
_REQUEST: Final = "SELECT id, request FROM notifications WHERE tenant = ? AND id = ?"
_MARK: Final = """INSERT INTO inbox_marks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    seen_ms = CASE WHEN coalesce(seen_ms, 0) = 0 THEN coalesce(excluded.seen_ms, seen_ms) ELSE seen_ms END,
    read_ms = CASE WHEN coalesce(read_ms, 0) = 0 OR excluded.read_ms = 0
                   THEN coalesce(excluded.read_ms, read_ms) ELSE read_ms END,
    archived_ms = CASE WHEN coalesce(archived_ms, 0) = 0 OR excluded.archived_ms = 0
                       THEN coalesce(excluded.archived_ms, archived_ms) ELSE archived_ms END,
    snoozed_ms = coalesce(excluded.snoozed_ms, snoozed_ms),
    deleted_ms = CASE WHEN coalesce(deleted_ms, 0) = 0 OR excluded.deleted_ms = 0
                      THEN coalesce(excluded.deleted_ms, deleted_ms) ELSE deleted_ms END,
    read_seq = max(read_seq, excluded.read_seq), seq = excluded.seq"""
_READ_ALL: Final = """INSERT INTO inbox_horizons (tenant, user_id, item_id, at_ms, own_seq, shared_seq, seq)
    VALUES (?, ?, x'', ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    at_ms = CASE WHEN excluded.own_seq > own_seq OR excluded.shared_seq > shared_seq THEN excluded.at_ms ELSE at_ms END,
    own_seq = max(own_seq, excluded.own_seq), shared_seq = max(shared_seq, excluded.shared_seq), seq = excluded.seq"""
_WITHDRAWAL: Final = "INSERT INTO inbox_withdrawals VALUES (?, ?, ?, ?)"

_HERE_MAX: Final = 20
"""Items that are looked up on the event loop itself."""
_USERS_HERE_MAX: Final = 100
"""Users whose own items are."""
_POSITIONS_HERE_MAX: Final = 500
"""Users whose positions are."""


class StateInbox:
    """Implements `ports.inbox.Inbox` and `ports.inbox_feed.InboxFeed`."""

    def __init__(self, threads: Threads, signals: SharedInboxSignals) -> None:
        self._threads = threads
        self._signals = signals

    async def head(self, tenant: str, user_id: str) -> Head:
        """Return the user's position and horizon."""
        db = self._threads.reader()
        position = Position(*fetch_all(db, HEAD, (tenant, user_id))[0])
        row = fetch_one(db, HORIZON, (tenant, user_id))
        return Head(position, None if row is None else Horizon(*row))

    async def items(self, tenant: str, user_id: str, before: ItemPlace | None, limit: int) -> list[Item]:
        """Return the user's own items below a place, newest first."""
        return [
            item_of(row)
            for row in fetch_all(self._threads.reader(), _ITEMS, (tenant, user_id, *(before or TOP), limit))
        ]

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: int | None, floor: int | None, limit: int
    ) -> Scan:
        """Examine the next `limit` in-app broadcasts, by their last arrival."""
        db = self._threads.reader()
        top = TOP[0] if before is None else before
        values = (tenant, TOP[0] if floor is None else floor, top, ordinal, ordinal, limit)
        spans = fetch_all(db, _SPANS, values)
        chunks = Chunks(db)
        found = (chunks.find(tenant, user_id, ordinal, id_, widest) for id_, widest, _ in spans)
        items = sorted(
            (one for one in found if one and one.place.shared < top), key=lambda one: one.place, reverse=True
        )
        return Scan(items, spans[-1][2] - 1 if len(spans) == limit else None)

    async def find(
        self, tenant: str, user_id: str, ordinal: int | None, item_ids: Sequence[bytes]
    ) -> dict[bytes, Item]:
        """Return those of the items that the user has, by id."""
        if len(item_ids) > _HERE_MAX:
            return await self._threads.run_long_read(lambda db: _find(db, tenant, user_id, ordinal, item_ids))
        return _find(self._threads.reader(), tenant, user_id, ordinal, item_ids)

    async def facts(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> ItemFacts:
        """Return what is stored about items of the user."""
        db = self._threads.reader()
        marks = db.executemany(_MARKS, [(tenant, user_id, item_id) for item_id in item_ids])
        found = {row[0]: Mark(*row) for row in marks}
        withdrawn = db.executemany(WITHDRAWN, [(tenant, id_) for id_ in set(map(notification_of, item_ids))])
        return ItemFacts(found, {id_ for (id_,) in withdrawn})

    async def newest_of(
        self, tenant: str, user_id: str, ordinal: int | None, collapse_keys: Collection[str]
    ) -> dict[str, ItemPlace]:
        """Return the place of the user's newest item with each collapse key."""
        return await self._threads.run_long_read(lambda db: _newest_of(db, tenant, user_id, ordinal, collapse_keys))

    async def requests(self, tenant: str, notification_ids: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the requests of notifications, in MessagePack."""
        return dict(self._threads.reader().executemany(_REQUEST, [(tenant, id_) for id_ in notification_ids]))

    async def mark(self, tenant: str, user_id: str, marks: Sequence[Mark]) -> None:
        """Set the fields of marks that are not None, durably and as one step of the user's own sequence."""
        await self._threads.write(lambda db: _mark(db, tenant, user_id, marks))
        self._signals.send(changed_inboxes([(tenant, user_id)]))

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, durably and as one step of the user's own sequence."""
        await self._threads.write(lambda db: _read_all(db, tenant, user_id, horizon))
        self._signals.send(changed_inboxes([(tenant, user_id)]))

    async def withdraw(self, tenant: str, notification_id: bytes, at_ms: int) -> None:
        """Take the items of a notification or broadcast out of all inboxes, durably."""
        await self._threads.write(lambda db: _withdraw(db, tenant, notification_id, at_ms))
        self._signals.send(changed_inboxes((), [tenant]))

    async def positions(self, users: Sequence[tuple[str, str]]) -> list[Position]:
        """Return where the inboxes of users are."""
        if len(users) > _POSITIONS_HERE_MAX:
            return await self._threads.run_long_read(lambda db: positions(db, users))
        return positions(self._threads.reader(), users)

    async def missed(self, wanted: Sequence[Wanted]) -> list[Missed]:
        """Return for each user what changed between two positions."""
        if len(wanted) <= _USERS_HERE_MAX and all(one.now.shared == one.position.shared for one in wanted):
            return missed(self._threads.reader(), wanted)
        return await self._threads.run_long_read(lambda db: missed(db, wanted))


def _find(
    db: apsw.Connection, tenant: str, user_id: str, ordinal: int | None, item_ids: Sequence[bytes]
) -> dict[bytes, Item]:
    own = db.executemany(_ITEM, [(tenant, user_id, item_id) for item_id in item_ids])
    found = {item.item_id: item for item in map(item_of, own)}
    for item_id in item_ids:
        if ordinal is not None and item_id not in found:
            item = _of_broadcast(db, tenant, user_id, ordinal, notification_of(item_id))
            if item is not None and item.item_id == item_id:
                found[item_id] = item
    return found


def _newest_of(
    db: apsw.Connection, tenant: str, user_id: str, ordinal: int | None, collapse_keys: Collection[str]
) -> dict[str, ItemPlace]:
    newest: dict[str, ItemPlace] = {}
    for key in collapse_keys:
        places = [ItemPlace(*row) for row in fetch_all(db, _NEWEST, (tenant, user_id, key))]
        if ordinal is not None:
            broadcasts = fetch_all(db, _COLLAPSES, (tenant, key, INBOX_COLLAPSES_MAX))
            items = (_of_broadcast(db, tenant, user_id, ordinal, id_) for (id_,) in broadcasts)
            places += [item.place for item in items if item is not None and item.collapse_key == key]
        if places:
            newest[key] = max(places)
    return newest


def _of_broadcast(db: apsw.Connection, tenant: str, user_id: str, ordinal: int, broadcast_id: bytes) -> Item | None:
    span = fetch_one(db, _SPAN, (tenant, broadcast_id))
    return None if span is None else Chunks(db).find(tenant, user_id, ordinal, *span)


def _mark(db: apsw.Connection, tenant: str, user_id: str, marks: Sequence[Mark]) -> None:
    seq = own_step(db, tenant, user_id)
    for mark in marks:
        times = (mark.seen_ms, mark.read_ms, mark.archived_ms, mark.snoozed_ms, mark.deleted_ms)
        db.execute(_MARK, (tenant, user_id, mark.item_id, *times, 0 if mark.read_ms is None else seq, seq))


def _read_all(db: apsw.Connection, tenant: str, user_id: str, horizon: Horizon) -> None:
    seq = own_step(db, tenant, user_id)
    db.execute(_READ_ALL, (tenant, user_id, horizon.at_ms, horizon.own, horizon.shared, seq))


def _withdraw(db: apsw.Connection, tenant: str, notification_id: bytes, at_ms: int) -> None:
    if fetch_one(db, WITHDRAWN, (tenant, notification_id)) is None:
        db.execute(_WITHDRAWAL, (tenant, notification_id, shared_step(db, tenant), at_ms))
