"""Endpoints that take notifications: one, a batch, and their cancellation."""

from typing import Final

import msgspec

from clarion.accept import routes_cancel
from clarion.accept.door import Door
from clarion.accept.idempotency import HEADER, key_of
from clarion.accept.quota import Headers
from clarion.accept.routes_batch import Batches
from clarion.accept.routes_once import Remember, answer_once
from clarion.accept.shapes import BatchIn, BatchOut, NotificationIn, NotificationOut
from clarion.accept.worker import Taken
from clarion.domain import ids
from clarion.domain.limits import BATCH_BODY_BYTES_MAX
from clarion.ports.web import Call, Caller, Reply, Route

_JSON: Final = msgspec.json.Encoder()


def routes(door: Door) -> list[Route]:
    """Return the endpoints of single notifications and batches."""
    handlers = _Handlers(door)
    write = "notifications:write"
    return [
        Route(
            "POST",
            "/v1/notifications",
            handlers.create,
            write,
            "Send a notification",
            body=NotificationIn,
            reply=NotificationOut,
            status=202,
            tag="notifications",
        ),
        Route(
            "POST",
            "/v1/notifications/batch",
            Batches(door).create,
            write,
            "Send up to 1,000 notifications, each accepted or refused on its own",
            body=BatchIn,
            reply=BatchOut,
            status=202,
            limit_bytes=BATCH_BODY_BYTES_MAX,
            itemwise=True,
            tag="notifications",
        ),
        *routes_cancel.routes(door),
    ]


class _Handlers:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, call: Call) -> Reply:
        async def take(remember: Remember) -> Reply:
            taken, headers = self._admit(call.caller, call.body)
            answer = _JSON.encode(_answer(taken))
            await self._door.writer.take([taken], remember(answer))
            return Reply(raw=answer, status=202, headers=headers)

        key = key_of(call.headers.get(HEADER), call.body.idempotency_key)
        return await answer_once(self._door, call, key, take)

    def _admit(self, caller: Caller, body: NotificationIn) -> tuple[Taken, Headers]:
        self._door.refuse_overload()
        request = self._door.checked(caller.tenant, body)
        headers = self._door.quotas.charge(caller, len(request.to))
        return self._door.stamp(caller.tenant, request), headers


def _answer(taken: Taken) -> NotificationOut:
    return NotificationOut(ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id), taken.status, taken.accepted_at)
