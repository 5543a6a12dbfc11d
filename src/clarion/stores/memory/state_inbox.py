"""The inbox in memory: a user's own items, the broadcasts sent to the user, and the user's marks."""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from heapq import nlargest
from typing import Final

import msgspec

from clarion.domain.history import Chunk
from clarion.domain.ids import delivery_id, notification_of
from clarion.domain.inbox import (
    SHOWN,
    TOP,
    Horizon,
    Item,
    ItemFacts,
    ItemPlace,
    Mark,
    Position,
    arrival_of,
    broadcast_item,
)
from clarion.domain.limits_processes import INBOX_COLLAPSES_MAX, INBOX_MISSED_MAX
from clarion.ports.inbox import Head, Scan
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.runtime.inbox_signal import InboxSignals, changed_inboxes
from clarion.stores.memory.state_tables import END, Span, Tables

_CHANNEL: Final = "inapp"
_UNPACK: Final = msgspec.msgpack.decode


class MemoryInbox:
    """Implements `ports.inbox.Inbox` and `ports.inbox_feed.InboxFeed`."""

    def __init__(self, tables: Tables, signals: InboxSignals) -> None:
        self._tables = tables
        self._signals = signals

    async def head(self, tenant: str, user_id: str) -> Head:
        """Return the user's position and horizon."""
        tables, key = self._tables, (tenant, user_id)
        position = Position(tables.epoch, tables.own_seqs.get(key, 0), tables.shared_seqs.get(tenant, 0))
        return Head(position, tables.horizons.get(key))

    async def items(self, tenant: str, user_id: str, before: ItemPlace | None, limit: int) -> list[Item]:
        """Return the user's own items below a place, newest first."""
        places = self._tables.places.get((tenant, user_id), [])
        end = bisect_left(places, (before or TOP, b""))
        return [self._own(tenant, user_id, place, id_) for place, id_ in places[max(end - limit, 0) : end][::-1]]

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: int | None, floor: int | None, limit: int
    ) -> Scan:
        """Examine the next `limit` in-app broadcasts, by their last arrival."""
        top = TOP[0] if before is None else before
        spans = {
            id_: span
            for id_, span in self._spans(tenant)
            if span.low <= ordinal <= span.high and span.first_seq < top and (floor is None or span.last_seq <= floor)
        }
        scanned = nlargest(limit, spans, key=lambda id_: (spans[id_].last_seq, id_))
        found = (self._find(tenant, user_id, ordinal, id_) for id_ in scanned)
        items = sorted(
            (one for one in found if one and one.place.shared < top), key=lambda one: one.place, reverse=True
        )
        return Scan(items, spans[scanned[-1]].last_seq - 1 if len(scanned) == limit else None)

    async def find(
        self, tenant: str, user_id: str, ordinal: int | None, item_ids: Sequence[bytes]
    ) -> dict[bytes, Item]:
        """Return those of the items that the user has, by id."""
        own = {id_: place for place, id_ in self._tables.places.get((tenant, user_id), ())}
        found = {id_: self._own(tenant, user_id, own[id_], id_) for id_ in item_ids if id_ in own}
        for id_ in item_ids:
            if ordinal is not None and id_ not in found:
                item = self._find(tenant, user_id, ordinal, notification_of(id_))
                if item is not None and item.item_id == id_:
                    found[id_] = item
        return found

    async def facts(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> ItemFacts:
        """Return what is stored about items of the user."""
        marks = {item_id: self._tables.marks.get((tenant, user_id, item_id)) for item_id in item_ids}
        withdrawn = {id_ for id_ in map(notification_of, item_ids) if (tenant, id_) in self._tables.withdrawals}
        return ItemFacts({item_id: mark[0] for item_id, mark in marks.items() if mark is not None}, withdrawn)

    async def newest_of(
        self, tenant: str, user_id: str, ordinal: int | None, collapse_keys: Collection[str]
    ) -> dict[str, ItemPlace]:
        """Return the place of the user's newest item with each collapse key."""
        places: dict[str, list[ItemPlace]] = {}
        for item in await self.items(tenant, user_id, None, len(self._tables.places.get((tenant, user_id), ()))):
            places.setdefault(item.collapse_key, []).append(item.place)
        for key in collapse_keys:
            broadcasts = self._tables.collapses.get((tenant, key), ()) if ordinal is not None else ()
            for id_ in nlargest(INBOX_COLLAPSES_MAX, broadcasts):
                found = self._find(tenant, user_id, ordinal or 0, id_)
                if found is not None and found.collapse_key == key:
                    places.setdefault(key, []).append(found.place)
        return {key: max(places[key]) for key in collapse_keys if key in places}

    async def requests(self, tenant: str, notification_ids: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the requests of notifications, in MessagePack."""
        rows = self._tables.notifications.get(tenant)
        found = {id_: rows.get(id_) for id_ in notification_ids} if rows is not None else {}
        return {id_: row.request for id_, row in found.items() if row is not None}

    async def mark(self, tenant: str, user_id: str, marks: Sequence[Mark]) -> None:
        """Set the fields of marks that are not None, as one step of the user's own sequence."""
        seq = self._tables.own_step(tenant, user_id)
        for mark in marks:
            key = (tenant, user_id, mark.item_id)
            before, _ = self._tables.marks.get(key) or (Mark(mark.item_id), 0)
            self._tables.marks[key] = (_changed(before, mark, seq), seq)
        self._signals.notify(changed_inboxes([(tenant, user_id)]))

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, as one step of the user's own sequence."""
        seq = self._tables.own_step(tenant, user_id)
        own, shared, at_ms, _ = self._tables.horizons.get((tenant, user_id)) or Horizon(-1, -1, 0)
        rises = horizon.own > own or horizon.shared > shared
        self._tables.horizons[tenant, user_id] = Horizon(
            max(own, horizon.own), max(shared, horizon.shared), horizon.at_ms if rises else at_ms, seq
        )
        self._signals.notify(changed_inboxes([(tenant, user_id)]))

    async def withdraw(self, tenant: str, notification_id: bytes, at_ms: int) -> None:
        """Take the items of a notification or broadcast out of all inboxes."""
        if (tenant, notification_id) not in self._tables.withdrawals:
            self._tables.withdrawals[tenant, notification_id] = self._tables.shared_step(tenant)
            self._signals.notify(changed_inboxes((), [tenant]))

    async def positions(self, users: Sequence[tuple[str, str]]) -> list[Position]:
        """Return where the inboxes of users are."""
        return [(await self.head(*user)).position for user in users]

    async def missed(self, wanted: Sequence[Wanted]) -> list[Missed]:
        """Return for each user what changed between two positions."""
        return [await self._missed(one) for one in wanted]

    async def _missed(self, wanted: Wanted) -> Missed:
        tenant, user_id, ordinal, before, now = wanted
        horizon = (await self.head(tenant, user_id)).horizon
        if not before.precedes(now):
            return Missed(now, reload=True)
        tables = self._tables
        places = tables.places.get((tenant, user_id), [])
        own = [self._own(tenant, user_id, place, id_) for place, id_ in places if wanted.covers(place)]
        spans = [
            id_
            for id_, span in self._spans(tenant)
            if ordinal is not None and span.last_seq > before.shared and span.low <= ordinal <= span.high
        ]
        shared = (self._find(tenant, user_id, ordinal or 0, id_) for id_ in spans)
        items = sorted(
            (item for item in (*own, *shared) if item is not None and wanted.covers(item.place)),
            key=lambda item: item.place,
        )
        marks = [
            mark
            for (*key, _), (mark, seq) in tables.marks.items()
            if key == [tenant, user_id] and before.own < seq <= now.own
        ]
        withdrawn = [
            id_ for (of, id_), seq in tables.withdrawals.items() if of == tenant and before.shared < seq <= now.shared
        ]
        if max(len(own), len(spans), len(marks), len(withdrawn)) > INBOX_MISSED_MAX:
            return Missed(now, reload=True)
        kept = [item for item in items if (tenant, notification_of(item.item_id)) not in tables.withdrawals]
        moved = horizon if horizon is not None and before.own < horizon.seq <= now.own else None
        dropped = [item.collapse_key for item in items if item.collapse_key and item not in kept]
        return Missed(now, False, kept, sorted(marks, key=lambda mark: mark.item_id), moved, sorted(withdrawn), dropped)

    def _spans(self, tenant: str) -> Iterator[tuple[bytes, Span]]:
        spans = self._tables.spans.get(tenant)
        return iter(()) if spans is None else spans.newest()

    def _own(self, tenant: str, user_id: str, place: ItemPlace, item_id: bytes) -> Item:
        row = self._tables.items[tenant, user_id].get(item_id)
        assert row is not None  # noqa: S101 - both are written together
        return Item(item_id, row.created_ms, row.content, place, row.category, row.expires_ms, row.collapse_key)

    def _find(self, tenant: str, user_id: str, ordinal: int, broadcast_id: bytes) -> Item | None:
        """Return a broadcast's in-app delivery to one user, or None when there is none or it was not sent."""
        for chunk in self._tables.chunks.between(broadcast_id, broadcast_id + END):
            if (chunk.tenant, chunk.channel) != (tenant, _CHANNEL) or not (
                chunk.min_ordinal <= ordinal <= chunk.max_ordinal
            ):
                continue
            ordinals = array("Q", chunk.ordinals)
            index = bisect_left(ordinals, ordinal)
            if index < len(ordinals) and ordinals[index] == ordinal:
                return self._shown(chunk, index, user_id, broadcast_id)
        return None

    def _shown(self, chunk: Chunk, index: int, user_id: str, broadcast_id: bytes) -> Item | None:
        if self._tables.chunk_states[chunk.chunk_id].states[index] not in SHOWN:
            return None
        address = _UNPACK(chunk.addresses)[index] if chunk.addresses else ""
        content = _UNPACK(chunk.users)[index] if chunk.users else _UNPACK(chunk.content)
        first = self._tables.chunk_seqs[chunk.chunk_id], chunk.planned_ms
        seq, at_ms = arrival_of(index, first, self._tables.arrivals.get(chunk.chunk_id, ()))
        id_ = delivery_id(broadcast_id, user_id, _CHANNEL, address)
        return broadcast_item(id_, at_ms, content, seq, chunk.category, chunk.expires_ms)


def _changed(before: Mark, mark: Mark, seq: int) -> Mark:
    return Mark(
        mark.item_id,
        before.seen_ms or _given(mark.seen_ms, before.seen_ms),
        _undone(before.read_ms, mark.read_ms),
        _undone(before.archived_ms, mark.archived_ms),
        _given(mark.snoozed_ms, before.snoozed_ms),
        _undone(before.deleted_ms, mark.deleted_ms),
        before.read_seq if mark.read_ms is None else seq,
    )


def _given(new_ms: int | None, before_ms: int | None) -> int | None:
    return before_ms if new_ms is None else new_ms


def _undone(before_ms: int | None, new_ms: int | None) -> int | None:
    """Return the time after a mark: the first time stays until a 0 clears it."""
    return _given(new_ms, before_ms) if not before_ms or new_ms == 0 else before_ms
