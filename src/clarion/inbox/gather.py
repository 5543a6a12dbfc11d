"""Reads one user's inbox page by page from the store: own items and broadcasts, with their marks."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain.ids import notification_of
from clarion.domain.inbox import Item, ItemPlace
from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.domain.limits_processes import INBOX_COUNT_MAX, INBOX_ITEMS_EXAMINED_MAX, INBOX_SCAN_MAX
from clarion.inbox.rules.inbox import (
    UNREAD_SOURCE,
    Counts,
    Entry,
    ItemFilter,
    Source,
    counts,
    edge_of,
    entries_of,
    is_behind,
    is_shown,
    merged,
)
from clarion.journal.requests import Request
from clarion.ports.inbox import Head, Inbox

_BROADCASTS_A_TIME: Final = 20
_REQUEST: Final = msgspec.msgpack.Decoder(Request)


class ItemPage(NamedTuple):
    """Items of a list, newest first. The list continues below `rest`; None at its end."""

    entries: list[Entry]
    rest: ItemPlace | None


class InboxReader:
    """One read of the inbox of one user. `ordinal` is None for a user who is not stored: there are no broadcasts then.
    What arrives after `head` was read is left out."""

    def __init__(self, inbox: Inbox, tenant: str, user_id: str, ordinal: int | None, head: Head, now_ms: int) -> None:
        self._inbox = inbox
        self._tenant = tenant
        self._user_id = user_id
        self._ordinal = ordinal
        self._horizon = head.horizon
        self._now_ms = now_ms
        self.position = head.position
        self.times: list[tuple[int, bytes]] = []
        """When items that were read come back from a snooze or expire: what was read is true until the first of these times."""

    async def page(
        self, only: ItemFilter, before: ItemPlace | None, limit: int, examined: int = INBOX_COUNT_MAX
    ) -> ItemPage:
        """Return up to `limit` items of a list below a place: fewer where so many items were examined, or
        `INBOX_SCAN_MAX` broadcasts."""
        found: list[Entry] = []
        rest: ItemPlace | None = None
        async for entries, edge, number in self._pieces(only, before, min(limit + 1, PAGE_ITEMS_MAX)):
            for entry in entries:
                if len(found) == limit:
                    return ItemPage(found, rest)
                found.append(entry)
                rest = entry.item.place
            examined -= number
            rest = edge
            if edge is None or examined <= 0:
                break
        return ItemPage(found, rest)

    async def counts(self, only: ItemFilter) -> tuple[Counts, bool]:
        """Return the counts of a list, and whether it has more items than were counted."""
        page = await self.page(only, None, INBOX_COUNT_MAX, INBOX_ITEMS_EXAMINED_MAX)
        return counts(page.entries), page.rest is not None

    async def _pieces(
        self, only: ItemFilter, before: ItemPlace | None, at_a_time: int
    ) -> AsyncIterator[tuple[list[Entry], ItemPlace | None, int]]:
        """Yield the items of a list below `before`, newest first, with the place at and above which all were read, and how
        many were examined."""
        scanned = 0
        own, shared = UNREAD_SOURCE, Source(UNREAD_SOURCE.known if self._ordinal is not None else None)
        while True:
            edge = edge_of(own, shared)
            if own.known is not None and own.known == edge:
                own = await self._own(own, before, at_a_time)
            if shared.known is not None and shared.known == edge and scanned < INBOX_SCAN_MAX:
                shared = await self._broadcasts(shared, before)
                scanned += _BROADCASTS_A_TIME
            items, own, shared = merged(own, shared)
            edge = edge_of(own, shared)
            if items or edge is None:
                yield await self._shown(items, only), edge, len(items)
            if edge is None:
                return
            if scanned >= INBOX_SCAN_MAX and shared.known == edge:
                yield [], edge, INBOX_ITEMS_EXAMINED_MAX
                return
            if only.since is not None and is_behind(only.since, own, shared):
                yield [], None, 0
                return
            await asyncio.sleep(0)  # other requests get their turn

    async def _own(self, own: Source, before: ItemPlace | None, at_a_time: int) -> Source:
        below = own.known if own is not UNREAD_SOURCE else before
        items = await self._inbox.items(self._tenant, self._user_id, below, at_a_time)
        known = items[-1].place if len(items) == at_a_time else None
        return Source(known, [*own.items, *self._arrived(items)])

    async def _broadcasts(self, shared: Source, before: ItemPlace | None) -> Source:
        below = None if before is None else before.shared + (before.own > 0)
        known = shared.known
        floor = None if known is None or known == UNREAD_SOURCE.known else known.shared - 1
        found, floor = await self._inbox.broadcasts(
            self._tenant, self._user_id, self._ordinal or 0, below, floor, _BROADCASTS_A_TIME
        )
        known = None if floor is None else ItemPlace(floor + 1, 0)
        return Source(known, [*shared.items, *self._arrived(found)])

    def _arrived(self, items: Sequence[Item]) -> list[Item]:
        return [item for item in items if self.position.passed(item.place)]

    async def _shown(self, items: list[Item], only: ItemFilter) -> list[Entry]:
        facts = await self._inbox.facts(self._tenant, self._user_id, [item.item_id for item in items])
        keys = {item.collapse_key for item in items if item.collapse_key}
        newest: Mapping[str, ItemPlace] = {}
        if keys:
            newest = await self._inbox.newest_of(self._tenant, self._user_id, self._ordinal, keys)
        entries = entries_of(items, facts, newest, self._horizon, self._now_ms)
        for entry in entries:
            self.times += [(at_ms, entry.item.item_id) for at_ms in (entry.snoozed_ms, entry.item.expires_ms) if at_ms]
        workflows = await self._workflows(entries) if only.workflow is not None else {}
        return [entry for entry in entries if is_shown(entry, only, workflows.get(entry.item.item_id, ""))]

    async def _workflows(self, entries: Sequence[Entry]) -> dict[bytes, str]:
        """Return the workflow that sent each item, for those that one sent."""
        notifications = {entry.item.item_id: notification_of(entry.item.item_id) for entry in entries}
        requests = await self._inbox.requests(self._tenant, set(notifications.values()))
        workflows = {id_: _REQUEST.decode(request).workflow for id_, request in requests.items()}
        return {item_id: workflows[id_] for item_id, id_ in notifications.items() if id_ in workflows}


async def open_reader(inbox: Inbox, tenant: str, user_id: str, ordinal: int | None, now_ms: int) -> InboxReader:
    """Return a reader of a user's inbox as it is now."""
    return InboxReader(inbox, tenant, user_id, ordinal, await inbox.head(tenant, user_id), now_ms)
