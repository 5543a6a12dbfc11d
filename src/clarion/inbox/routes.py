"""Endpoints of the inbox, for a user's own token: list, counts, and marking items as seen, read and archived."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from clarion.domain import ids
from clarion.domain.errors import Forbidden, InvalidField, NotFound, Overloaded
from clarion.domain.limits_processes import INBOX_COUNT_MAX, READ_ALL_SEEN_MAX
from clarion.domain.times import shown
from clarion.inbox.gather import Reader
from clarion.inbox.rules.inbox import ALL, ARCHIVED, UNREAD, Item, counts, is_shown
from clarion.journal.seen_receipts import seen_result
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.inbox import Horizon, Inbox, Mark
from clarion.ports.stage_store import StageStore
from clarion.ports.web import USER, Call, Handler, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, cursor_of, limit_of, page

Touch: TypeAlias = Callable[[str, str], Awaitable[None]]
"""Records that a user (tenant, user id) is active now."""

_ACTIVE: Final = "active"
_SHOWN: Final = (_ACTIVE, UNREAD, ARCHIVED, ALL)
_VERBS: Final = {
    "seen": "Mark an item as seen",
    "read": "Mark an item as read",
    "unread": "Mark an item as not read",
    "archive": "Archive an item",
    "unarchive": "Unarchive an item",
}


class InboxItemOut(msgspec.Struct, frozen=True):
    """A message in the inbox."""

    id: str
    created_at: datetime
    content: msgspec.Raw
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None


class InboxCounts(msgspec.Struct, frozen=True):
    """Items that are not archived, out of the newest 1,000; `more` is set when there are older ones."""

    total: int
    unseen: int
    unread: int
    more: bool


def routes(inbox: Inbox, directory: Directory, clock: Clock, touch: Touch, store: StageStore) -> list[Route]:
    """Return the endpoints of the inbox; `touch` records the users who read theirs, the store receives the items they
    saw."""
    handlers = _Inbox(inbox, directory, clock, touch, store)
    queries = (Query("show", f"One of {', '.join(_SHOWN)}; {_ACTIVE} by default"), *PAGE_QUERIES)
    return [
        Route(
            "GET", "/v1/inbox", handlers.listed, USER, "The user's inbox, newest first", queries=queries, tag="inbox"
        ),
        Route("GET", "/v1/inbox/counts", handlers.counts, USER, "Unseen and unread", reply=InboxCounts, tag="inbox"),
        Route(
            "POST", "/v1/inbox/read-all", handlers.read_all, USER, "Mark everything as read", status=204, tag="inbox"
        ),
        *(
            Route("POST", f"/v1/inbox/{{id}}/{verb}", handlers.marking(verb), USER, summary, status=204, tag="inbox")
            for verb, summary in _VERBS.items()
        ),
    ]


class _Inbox:
    def __init__(self, inbox: Inbox, directory: Directory, clock: Clock, touch: Touch, store: StageStore) -> None:
        self._inbox = inbox
        self._store = store
        self._directory = directory
        self._clock = clock
        self._touch = touch

    async def listed(self, call: Call) -> Reply:
        """Return a page; a page of a filtered list may hold fewer items than the limit."""
        show, limit = call.query.get("show", _ACTIVE), limit_of(call.query)
        if show not in _SHOWN:
            raise InvalidField(f"must be one of {', '.join(_SHOWN)}", field="show")
        pieces = (await self._reader(call)).pieces(cursor_of(call.query, ids.DELIVERY_ID_BYTES), limit + 1)
        found: list[Item] = []
        last: Item | None = None
        scanned = 0
        async for piece in pieces:
            for item in piece:
                if len(found) == limit or scanned == INBOX_COUNT_MAX:
                    return page([_out(item) for item in found], None if last is None else last.item_id)
                last, scanned = item, scanned + 1
                if is_shown(item, show):
                    found.append(item)
        return page([_out(item) for item in found], None)

    async def counts(self, call: Call) -> Reply:
        items = await (await self._reader(call)).first(INBOX_COUNT_MAX + 1)
        total, unseen, unread = counts(items[:INBOX_COUNT_MAX])
        return Reply(InboxCounts(total, unseen, unread, len(items) > INBOX_COUNT_MAX))

    async def read_all(self, call: Call) -> Reply:
        newest = await (await self._reader(call)).first(READ_ALL_SEEN_MAX)
        if newest:
            now_ms = self._clock.now_ms()
            await self._store_seen(call, [item.item_id for item in newest if item.seen_ms is None], now_ms)
            horizon = Horizon(newest[0].item_id, now_ms)
            await self._inbox.read_all(call.caller.tenant, _user(call), horizon)
        return Reply(status=204)

    def marking(self, verb: str) -> Handler:
        """Return the handler of one verb."""

        async def mark(call: Call) -> Reply:
            tenant, user_id, text = call.caller.tenant, _user(call), call.path["id"]
            id_ = ids.read(ids.DELIVERY_PREFIX, text, ids.DELIVERY_ID_BYTES)
            if id_ is None or not (await self._inbox.item(tenant, user_id, await self._ordinal(call), id_)):
                raise NotFound(f"unknown inbox item {text!r}", field="id")
            words = _mark(id_, verb, self._clock.now_ms())
            before = (await self._inbox.marks(tenant, user_id, [id_])).get(id_)
            if words.seen_ms is not None and (before is None or not before.seen_ms):
                await self._store_seen(call, [id_], words.seen_ms)
            await self._inbox.mark(tenant, user_id, words)
            return Reply(status=204)

        return mark

    async def _store_seen(self, call: Call, items: list[bytes], now_ms: int) -> None:
        """Store the items a user saw before their marks: a client repeats a call that was interrupted."""
        if items:
            seen_ids = map(ids.notification_of, items)
            step = seen_result(call.caller.tenant, _user(call), seen_ids, now_ms, self._store.partitions)
            await self._store.commit(step)

    async def _reader(self, call: Call) -> Reader:
        tenant, user_id = call.caller.tenant, _user(call)
        with suppress(Overloaded):  # activity that cannot be recorded now is recorded by a later call
            await self._touch(tenant, user_id)
        return Reader(self._inbox, tenant, user_id, await self._ordinal(call))

    async def _ordinal(self, call: Call) -> int | None:
        user_id = _user(call)
        return (await self._directory.ordinals(call.caller.tenant, [user_id])).get(user_id)


def _user(call: Call) -> str:
    """Return the id of the inbox's user. Raises `Forbidden` without a user's own token."""
    if call.caller.user_id is None:
        raise Forbidden("the inbox needs a user's own token")
    return call.caller.user_id


def _mark(id_: bytes, verb: str, now_ms: int) -> Mark:
    match verb:
        case "seen":
            return Mark(id_, seen_ms=now_ms)
        case "read":
            return Mark(id_, seen_ms=now_ms, read_ms=now_ms)
        case "unread":
            return Mark(id_, read_ms=0)
        case "archive":
            return Mark(id_, archived_ms=now_ms)
        case _:
            return Mark(id_, archived_ms=0)


def _out(item: Item) -> InboxItemOut:
    return InboxItemOut(
        ids.write(ids.DELIVERY_PREFIX, item.item_id), shown(item.created_ms), msgspec.Raw(item.content),
        shown(item.seen_ms), shown(item.read_ms), shown(item.archived_ms),
    )  # fmt: skip
