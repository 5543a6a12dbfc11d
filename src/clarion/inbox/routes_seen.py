"""The endpoint by which an app reports that a user saw a notification, on any channel."""

from typing import Annotated

import msgspec

from clarion.domain import ids
from clarion.domain.errors import Forbidden, InvalidField, Malformed, NotFound
from clarion.domain.limits import KEY_CHARS_MAX
from clarion.journal.events import Request
from clarion.journal.find import find_accepted
from clarion.journal.seen_receipts import seen_result
from clarion.ports.clock import Clock
from clarion.ports.history import History
from clarion.ports.stage_store import StageStore
from clarion.ports.streams import Streams
from clarion.ports.web import Call, Reply, Route

_REQUEST = msgspec.msgpack.Decoder(Request)


class SeenIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user who saw it."""

    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)]


def routes(history: History, streams: Streams, store: StageStore, clock: Clock) -> list[Route]:
    """Return the endpoint."""
    handlers = _SeenReceipts(history, streams, store, clock)
    return [
        Route(
            "POST", "/v1/notifications/{id}/seen", handlers.seen, "seen:write",
            "Report that a user saw a notification; a user's own token reports for that user",
            body=SeenIn, status=204, optional=True, tag="notifications",
        ),
    ]  # fmt: skip


class _SeenReceipts:
    def __init__(self, history: History, streams: Streams, store: StageStore, clock: Clock) -> None:
        self._history = history
        self._streams = streams
        self._store = store
        self._clock = clock

    async def seen(self, call: Call) -> Reply:
        tenant, text, user_id = call.caller.tenant, call.path["id"], _seen_by(call)
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        request = None if id_ is None else await self._request(tenant, id_)
        meant = request is not None and any(to.user_id == user_id for to in request.to)
        # A user's token reveals nothing about notifications to other users.
        if id_ is None or request is None or (call.caller.user_id is not None and not meant):
            raise NotFound(f"unknown notification {text!r}", field="id")
        if not meant:
            raise InvalidField(f"{user_id!r} is not a recipient of this notification", field="user_id")
        # Stored even when it was seen before: a workflow may have sent another message since.
        await self._store.commit(seen_result(tenant, user_id, [id_], self._clock.now_ms(), self._store.partitions))
        return Reply(status=204)

    async def _request(self, tenant: str, id_: bytes) -> Request | None:
        row = await self._history.notification(tenant, id_)
        if row is not None:
            return _REQUEST.decode(row.request)
        found = await find_accepted(self._streams, self._store, id_, tenant)
        return None if found is None else found[0].requests[found[1]]


def _seen_by(call: Call) -> str:
    """Return the id of the user who saw it. Raises `Forbidden` when a user's token names another user, and `Malformed` when
    nobody is named."""
    own, named = call.caller.user_id, None if call.body is None else call.body.user_id
    if own is not None and named not in (None, own):
        raise Forbidden("a user's token is valid for that user only", field="user_id")
    seen_by = own or named
    if seen_by is None:
        raise Malformed("the body has to name the user; only a user's own token needs none", field="user_id")
    return str(seen_by)
