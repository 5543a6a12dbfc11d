"""Endpoints by which a sender takes items out of all inboxes."""

import msgspec

from clarion.domain import ids
from clarion.domain.errors import Conflict, NotFound
from clarion.journal.events import BroadcastJob
from clarion.journal.find import find_accepted
from clarion.ports.clock import Clock
from clarion.ports.history import History
from clarion.ports.inbox import Inbox
from clarion.ports.stage_store import StageStore
from clarion.ports.streams import Streams
from clarion.ports.web import Call, Reply, Route

_JOB = msgspec.msgpack.Decoder(BroadcastJob)


def routes(inbox: Inbox, history: History, streams: Streams, store: StageStore, clock: Clock) -> list[Route]:
    """Return the endpoints."""
    handlers = _Withdrawals(inbox, history, streams, store, clock)
    return [
        Route(
            "POST", "/v1/notifications/{id}/withdraw", handlers.notification, "notifications:write",
            "Take a notification out of all inboxes, now and when it arrives later", status=204, tag="notifications",
        ),
        Route(
            "POST", "/v1/broadcasts/{id}/withdraw", handlers.broadcast, "broadcasts:write",
            "Take a broadcast out of all inboxes, now and when it arrives later", status=204, tag="broadcasts",
        ),
    ]  # fmt: skip


class _Withdrawals:
    def __init__(self, inbox: Inbox, history: History, streams: Streams, store: StageStore, clock: Clock) -> None:
        self._inbox = inbox
        self._history = history
        self._streams = streams
        self._store = store
        self._clock = clock

    async def notification(self, call: Call) -> Reply:
        tenant, text = call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        if id_ is None or not (
            await self._history.notification(tenant, id_)
            or await find_accepted(self._streams, self._store, id_, tenant)
        ):
            raise NotFound(f"unknown notification {text!r}", field="id")
        await self._inbox.withdraw(tenant, id_, self._clock.now_ms())
        return Reply(status=204)

    async def broadcast(self, call: Call) -> Reply:
        tenant, text = call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.BROADCAST_PREFIX, text)
        cursor = None if id_ is None else (await self._store.cursors_by_id([id_])).get(id_)
        if id_ is None or cursor is None or cursor.tenant != tenant:
            raise NotFound(f"unknown broadcast {text!r}", field="id")
        if _JOB.decode(cursor.payload).request.workflow:
            raise Conflict(
                "a broadcast with a workflow sends a notification to each recipient: withdraw those",
                field="id", code="broadcast_workflow",
            )  # fmt: skip
        await self._inbox.withdraw(tenant, id_, self._clock.now_ms())
        return Reply(status=204)
