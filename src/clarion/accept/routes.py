"""Endpoints that take notifications: one, a batch, and their cancellation."""

from typing import Final

import msgspec

from clarion.accept.admit import unknown_user
from clarion.accept.door import Door
from clarion.accept.idempotency import HEADER, key_of
from clarion.accept.routes_batch import Batches
from clarion.accept.routes_once import Remember, answer_once
from clarion.accept.shapes import BatchIn, BatchOut, CancelOut, NotificationIn, NotificationOut
from clarion.accept.worker import Taken
from clarion.domain import ids
from clarion.domain.errors import NotFound
from clarion.domain.limits import BATCH_BODY_BYTES_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import CancelledFrame
from clarion.ports.journal import Append, Cancellation, Frame, Journal
from clarion.ports.web import Call, Reply, Route

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
        Route(
            "POST",
            "/v1/notifications/{id}/cancel",
            handlers.cancel,
            write,
            "Cancel what is not on its way to a provider yet",
            reply=CancelOut,
            status=202,
            tag="notifications",
        ),
    ]


class _Handlers:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, call: Call) -> Reply:
        async def take(remember: Remember) -> Reply:
            taken = self._admit(call.caller.tenant, call.body)
            answer = _JSON.encode(_answer(taken))
            await self._door.writer.take([taken], remember(answer))
            return Reply(raw=answer, status=202)

        key = key_of(call.headers.get(HEADER), call.body.idempotency_key)
        return await answer_once(self._door, call, key, take)

    def _admit(self, tenant: str, body: NotificationIn) -> Taken:
        self._door.refuse_overload()
        admission = self._door.admission(tenant)
        request = admission.notification(body)
        unknown = admission.unknown_users([request])
        if unknown:
            raise unknown_user(request, unknown)
        return self._door.stamp(tenant, request)

    async def cancel(self, call: Call) -> Reply:
        door, tenant, text = self._door, call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        if id_ is None or not door.known(tenant, id_):
            raise NotFound(f"unknown notification {text!r}", field="id")
        await append_cancellation(door.journal, tenant, id_, ids.partition_of(id_), door.clock.now_ms())
        return Reply(CancelOut(text, "cancelled"), 202)


async def append_cancellation(journal: Journal, tenant: str, subject: bytes, partition: int, now_ms: int) -> None:
    """Make a cancellation durable: the deliver stage reads it before every send, the record stage shows it."""
    frame = Frame(topics.OUTCOMES, partition, 1, encode(CancelledFrame([tenant], [subject], [now_ms]), 1))
    await journal.append(Append(frames=[frame], cancellations=[Cancellation(tenant, subject, now_ms)]))


def _answer(taken: Taken) -> NotificationOut:
    return NotificationOut(ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id), taken.status, taken.accepted_at)
