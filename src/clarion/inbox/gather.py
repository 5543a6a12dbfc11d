"""Reads one user's inbox page by page from the store: own items and broadcasts, with their marks."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.domain.limits_processes import INBOX_SCAN_MAX
from clarion.inbox.rules.inbox import Item, Marks, Source, marked, merged
from clarion.ports.inbox import Inbox

_JSON: Final = msgspec.json.Encoder()
_BROADCASTS_A_TIME: Final = 20


class Reader:
    """One read of the inbox of one user. `ordinal` is None for a user who is not stored: there are no broadcasts
    then."""

    def __init__(self, inbox: Inbox, tenant: str, user_id: str, ordinal: int | None) -> None:
        self._inbox = inbox
        self._tenant = tenant
        self._user_id = user_id
        self._ordinal = ordinal

    async def first(self, count: int) -> list[Item]:
        """Return up to `count` of the newest items with their marks."""
        found: list[Item] = []
        async for piece in self.pieces(None, count):
            found += piece
            if len(found) >= count:
                break
        return found[:count]

    async def pieces(self, before: bytes | None, at_a_time: int) -> AsyncIterator[list[Item]]:
        """Yield the items below `before` with their marks, newest first, `at_a_time` at once."""
        horizon = await self._inbox.horizon(self._tenant, self._user_id)
        read_to, read_at_ms = (horizon.item_id, horizon.at_ms) if horizon else (None, 0)
        waiting: list[Item] = []
        async for some in self._plain(before, min(at_a_time, PAGE_ITEMS_MAX)):
            waiting += some
            while len(waiting) >= at_a_time:
                yield await self._marked(waiting[:at_a_time], read_to, read_at_ms)
                waiting = waiting[at_a_time:]
        if waiting:
            yield await self._marked(waiting, read_to, read_at_ms)

    async def _marked(self, items: list[Item], read_to: bytes | None, read_at_ms: int) -> list[Item]:
        marks = await self._inbox.marks(self._tenant, self._user_id, [item.item_id for item in items])
        done = {id_: Marks(mark.seen_ms, mark.read_ms, mark.archived_ms) for id_, mark in marks.items()}
        return [marked(item, done, read_to, read_at_ms) for item in items]

    async def _plain(self, before: bytes | None, at_a_time: int) -> AsyncIterator[list[Item]]:
        """Yield items without marks, newest first."""
        own, shared = Source(before), Source(before, done=self._ordinal is None)
        scanned = 0
        while True:
            if not own.items and not own.done:
                own = await self._own(own.before, at_a_time)
            while not shared.items and not shared.done:
                shared = await self._broadcasts(shared.before)
                scanned += _BROADCASTS_A_TIME
                if scanned >= INBOX_SCAN_MAX:
                    shared = shared._replace(done=True)
            items, own, shared = merged(own, shared)
            if not items:
                return
            yield items

    async def _own(self, before: bytes | None, at_a_time: int) -> Source:
        rows = await self._inbox.items(self._tenant, self._user_id, before, at_a_time)
        items = [Item(row.item_id, row.created_ms, row.content) for row in rows]
        return Source(rows[-1].item_id if rows else before, items, len(rows) < at_a_time)

    async def _broadcasts(self, before: bytes | None) -> Source:
        found, following = await self._inbox.broadcasts(
            self._tenant, self._user_id, self._ordinal or 0, before, _BROADCASTS_A_TIME
        )
        items = [Item(held.item_id, held.created_ms, _JSON.encode(held.content)) for held in found]
        return Source(following, items, following is None)
