"""Endpoints of the inbox that mark many items, or all of a list, for a user's own token."""

from clarion.domain import ids
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.inbox import Position
from clarion.domain.limits_processes import INBOX_COUNT_MAX, INBOX_ITEMS_EXAMINED_MAX, READ_ALL_SEEN_MAX
from clarion.domain.times import check_time
from clarion.inbox.gather import InboxReader, open_reader
from clarion.inbox.routes import ordinal_of, position_of, user_of
from clarion.inbox.rules.inbox import ItemFilter
from clarion.inbox.rules.marks import changes, list_for, mark_of
from clarion.inbox.shapes import MarksIn, MarksOut
from clarion.inbox.worker_marks import Marking
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.inbox import Inbox
from clarion.ports.web import Call, Reply, Route


def routes(inbox: Inbox, directory: Directory, clock: Clock, marking: Marking) -> list[Route]:
    """Return the endpoints."""
    handlers = _Marks(inbox, directory, clock, marking)
    return [
        Route(
            "POST", "/v1/inbox/marks", handlers.mark, "inbox:write", "Mark many items, or all of a list", body=MarksIn,
            reply=MarksOut, tag="inbox",
        ),
        Route(
            "POST", "/v1/inbox/read-all", handlers.read_all, "inbox:write", "Mark everything as read", status=204, tag="inbox"
        ),
    ]  # fmt: skip


class _Marks:
    def __init__(self, inbox: Inbox, directory: Directory, clock: Clock, marking: Marking) -> None:
        self._inbox = inbox
        self._directory = directory
        self._clock = clock
        self._marking = marking

    async def read_all(self, call: Call) -> Reply:
        reader = await self._reader(call)
        await self._read_all(call, reader, reader.position)
        return Reply(status=204)

    async def mark(self, call: Call) -> Reply:
        """Mark the items that are named, all or none of them, or those of a list."""
        body: MarksIn = call.body
        if (body.ids is None) != body.all:
            raise InvalidField("either this or 'all' is needed", field="ids")
        if (body.until is None) != (body.action != "snooze"):
            raise InvalidField("is needed by 'snooze' alone", field="until")
        until_ms = None if body.until is None else check_time(body.until, "until")
        if until_ms is not None and until_ms <= self._clock.now_ms():
            raise InvalidField("must be in the future", field="until")
        if body.ids is not None:
            return Reply(MarksOut(await self._mark_ids(call, body.ids, until_ms), more=False))
        return Reply(await self._mark_all(call, until_ms))

    async def _mark_ids(self, call: Call, texts: list[str], until_ms: int | None) -> int:
        tenant, user_id, now_ms = call.caller.tenant, user_of(call), self._clock.now_ms()
        read = [ids.read(ids.DELIVERY_PREFIX, text, ids.DELIVERY_ID_BYTES) for text in texts]
        known = [id_ for id_ in dict.fromkeys(read) if id_ is not None]
        found = await self._inbox.find(tenant, user_id, await ordinal_of(self._directory, call), known)
        for index, id_ in enumerate(read):
            if id_ is None or id_ not in found:
                raise NotFound(f"unknown inbox item {texts[index]!r}", field=f"ids[{index}]")
        marks = [mark_of(id_, call.body.action, now_ms, until_ms) for id_ in known]
        await self._marking.mark(tenant, user_id, marks, now_ms)
        return len(marks)

    async def _mark_all(self, call: Call, until_ms: int | None) -> MarksOut:
        body: MarksIn = call.body
        tenant, user_id, now_ms = call.caller.tenant, user_of(call), self._clock.now_ms()
        reader = await self._reader(call)
        until = position_of(tenant, user_id, body.position, "position")
        if until is not None and not until.precedes(reader.position):
            raise InvalidField("is over: read the list again", field="position", code="position_over")
        only = ItemFilter(list_for(body.action, body.show), body.category, body.workflow, until=until)
        if body.action == "read" and (body.show, body.category, body.workflow) == (None, None, None):
            return MarksOut(await self._read_all(call, reader, until or reader.position), more=False)
        page = await reader.page(only, None, INBOX_COUNT_MAX, INBOX_ITEMS_EXAMINED_MAX)
        chosen = [entry.item.item_id for entry in page.entries if changes(entry, body.action)]
        marks = [mark_of(id_, body.action, now_ms, until_ms) for id_ in chosen]
        await self._marking.mark(tenant, user_id, marks, now_ms)
        return MarksOut(len(marks), page.rest is not None)

    async def _read_all(self, call: Call, reader: InboxReader, until: Position) -> int:
        """Mark everything up to a position as read; return how many were unread, of as many as are counted."""
        page = await reader.page(ItemFilter("unread", until=until), None, INBOX_COUNT_MAX, INBOX_ITEMS_EXAMINED_MAX)
        unseen = [entry.item.item_id for entry in page.entries if entry.seen_ms is None][:READ_ALL_SEEN_MAX]
        await self._marking.read_all(call.caller.tenant, user_of(call), until, unseen, self._clock.now_ms())
        return len(page.entries)

    async def _reader(self, call: Call) -> InboxReader:
        tenant, user_id, now_ms = call.caller.tenant, user_of(call), self._clock.now_ms()
        return await open_reader(self._inbox, tenant, user_id, await ordinal_of(self._directory, call), now_ms)
