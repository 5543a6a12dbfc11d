"""Endpoints of the inbox, for a user's own token: list, counts, and marks of single items."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

from clarion.domain import ids
from clarion.domain.errors import Forbidden, InvalidField, NotFound, Overloaded
from clarion.domain.inbox import Item, Position
from clarion.domain.limits_processes import INBOX_WAIT_MS_MAX
from clarion.inbox.gather import InboxReader, open_reader
from clarion.inbox.rules.inbox import ACTIVE, SHOWS, ItemFilter
from clarion.inbox.rules.marks import mark_of
from clarion.inbox.rules.positions import cursor_bytes, position_bytes, read_cursor, read_position
from clarion.inbox.shapes import Action, InboxCounts, InboxPage, item_out
from clarion.inbox.worker_marks import Marking
from clarion.inbox.worker_waits import InboxWaits
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.inbox import Inbox
from clarion.ports.web import Call, Handler, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, bytes_of, cursor_text, limit_of, not_a_cursor, raw_cursor

Touch: TypeAlias = Callable[[str, str], Awaitable[None]]
"""Records that a user (tenant, user id) is active now."""

_VERBS: Final[dict[Action, str]] = {
    "seen": "Mark an item as seen",
    "read": "Mark an item as read",
    "unread": "Mark an item as not read",
    "archive": "Archive an item",
    "unarchive": "Unarchive an item",
}
FILTER_QUERIES: Final = (
    Query("show", f"One of {', '.join(SHOWS)}; {ACTIVE} by default"),
    Query("category", "Only of this category"),
    Query("workflow", "Only what this workflow sent"),
)


def routes(
    inbox: Inbox, directory: Directory, clock: Clock, touch: Touch, marking: Marking, waits: InboxWaits
) -> list[Route]:
    """Return the endpoints of lists, counts and single items; `touch` records the users who read theirs."""
    handlers = _Inbox(inbox, directory, clock, touch, marking, waits)
    queries = (
        *FILTER_QUERIES, Query("since", "Only what arrived after this `position` of an earlier list"),
        Query("wait_ms", f"Wait for so long until anything changes after `since`, at most {INBOX_WAIT_MS_MAX}", "integer"),
        *PAGE_QUERIES,
    )  # fmt: skip
    return [
        Route(
            "GET", "/v1/inbox", handlers.listed, "inbox:read", "The user's inbox, the last arrived first", queries=queries,
            reply=InboxPage, tag="inbox",
        ),
        Route(
            "GET", "/v1/inbox/counts", handlers.counts, "inbox:read", "Unseen and unread", queries=FILTER_QUERIES[1:],
            reply=InboxCounts, tag="inbox",
        ),
        *(
            Route("POST", f"/v1/inbox/{{id}}/{verb}", handlers.marking(verb), "inbox:write", summary, status=204, tag="inbox")
            for verb, summary in _VERBS.items()
        ),
        Route(
            "DELETE", "/v1/inbox/{id}", handlers.marking("delete"), "inbox:write", "Delete an item for good", status=204,
            tag="inbox",
        ),
    ]  # fmt: skip


class _Inbox:
    def __init__(
        self, inbox: Inbox, directory: Directory, clock: Clock, touch: Touch, marking: Marking, waits: InboxWaits
    ) -> None:
        self._inbox = inbox
        self._directory = directory
        self._clock = clock
        self._touch = touch
        self._marking = marking
        self._waits = waits

    async def listed(self, call: Call) -> Reply:
        """Return a page; a page of a filtered list may hold fewer items than the limit."""
        tenant, user_id, limit = call.caller.tenant, user_of(call), limit_of(call.query)
        only, after, wait_ms = filter_of(call), raw_cursor(call.query), wait_of(call)
        since = position_of(tenant, user_id, call.query.get("since"), "since")
        reader = await self._reader(call)
        if wait_ms and reader.position == since:
            await self._waits.wait((tenant, user_id), wait_ms, partial(self._has_moved, tenant, user_id, since))
            reader = await self._reader(call)
        epoch = reader.position.epoch
        before = None if after is None else read_cursor(tenant, user_id, epoch, after)
        if after is not None and before is None:
            raise not_a_cursor()
        usable = since is None or since.precedes(reader.position)
        page = await reader.page(
            ItemFilter(only.show, only.category, only.workflow, since if usable else None), before, limit
        )
        rest = None if page.rest is None else cursor_text(cursor_bytes(tenant, user_id, epoch, page.rest))
        position = cursor_text(position_bytes(tenant, user_id, reader.position))
        return Reply(InboxPage([item_out(entry) for entry in page.entries], rest, position, not usable))

    async def counts(self, call: Call) -> Reply:
        counts, more = await (await self._reader(call)).counts(filter_of(call))
        return Reply(InboxCounts(*counts, more))

    async def _has_moved(self, tenant: str, user_id: str, since: Position) -> bool:
        return (await self._inbox.head(tenant, user_id)).position != since

    def marking(self, action: Action) -> Handler:
        """Return the handler of one action."""

        async def mark(call: Call) -> Reply:
            tenant, user_id, now_ms = call.caller.tenant, user_of(call), self._clock.now_ms()
            item = await self._item(call)
            await self._marking.mark(tenant, user_id, [mark_of(item.item_id, action, now_ms)], now_ms)
            return Reply(status=204)

        return mark

    async def _item(self, call: Call) -> Item:
        tenant, user_id, text = call.caller.tenant, user_of(call), call.path["id"]
        id_ = ids.read(ids.DELIVERY_PREFIX, text, ids.DELIVERY_ID_BYTES)
        if id_ is not None:
            found = await self._inbox.find(tenant, user_id, await ordinal_of(self._directory, call), [id_])
            if id_ in found:
                return found[id_]
        raise NotFound(f"unknown inbox item {text!r}", field="id")

    async def _reader(self, call: Call) -> InboxReader:
        tenant, user_id = call.caller.tenant, user_of(call)
        with suppress(Overloaded):  # activity that cannot be recorded now is recorded by a later call
            await self._touch(tenant, user_id)
        ordinal = await ordinal_of(self._directory, call)
        return await open_reader(self._inbox, tenant, user_id, ordinal, self._clock.now_ms())


async def ordinal_of(directory: Directory, call: Call) -> int | None:
    """Return the ordinal of the caller's user, None for one that is not stored."""
    user_id = user_of(call)
    return (await directory.ordinals(call.caller.tenant, [user_id])).get(user_id)


def filter_of(call: Call) -> ItemFilter:
    """Return the filter in a query. Raises `InvalidField`."""
    show = call.query.get("show", ACTIVE)
    if show not in SHOWS:
        raise InvalidField(f"must be one of {', '.join(SHOWS)}", field="show")
    return ItemFilter(show, call.query.get("category"), call.query.get("workflow"))


def wait_of(call: Call) -> int:
    """Return for how long a request may wait, 0 without one. Raises `InvalidField`."""
    text = call.query.get("wait_ms")
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= INBOX_WAIT_MS_MAX):
        raise InvalidField(f"must be a number from 1 to {INBOX_WAIT_MS_MAX}", field="wait_ms")
    if "since" not in call.query or "after" in call.query:
        raise InvalidField("needs `since`, and no `after`", field="wait_ms")
    return int(text)


def position_of(tenant: str, user_id: str, text: str | None, field: str) -> Position | None:
    """Return the position that a client gave back. Raises `InvalidField` when it is none of this inbox."""
    if text is None:
        return None
    given = bytes_of(text)
    position = None if given is None else read_position(tenant, user_id, given)
    if position is None:
        raise InvalidField("is not a position of this inbox", field=field)
    return position


def user_of(call: Call) -> str:
    """Return the id of the inbox's user. Raises `Forbidden` without a user's own token."""
    if call.caller.user_id is None:
        raise Forbidden("the inbox needs a user's own token")
    return call.caller.user_id
