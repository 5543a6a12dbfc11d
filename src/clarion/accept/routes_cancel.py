"""Endpoints that take notifications back: one by its id, or all that carry a cancellation key."""

from clarion.accept.cancelling import Subject, cancellation, cancellation_by_key
from clarion.accept.door import Door
from clarion.accept.shapes import CancelByKeyIn, CancelByKeyOut, CancelOut
from clarion.domain import ids
from clarion.domain.errors import NotFound
from clarion.domain.limits_deciding import CANCELLATIONS_PER_APPEND_MAX, CANCELLATIONS_PER_CALL_MAX
from clarion.journal.signals import cancel_key
from clarion.ports.web import Call, Reply, Route


def routes(door: Door) -> list[Route]:
    """Return the endpoints of cancelling notifications."""
    handlers = _Handlers(door)
    return [
        Route(
            "POST",
            "/v1/notifications/{id}/cancel",
            handlers.by_id,
            "notifications:write",
            "Cancel what is not on its way to a provider yet",
            reply=CancelOut,
            status=202,
            tag="notifications",
        ),
        Route(
            "POST",
            "/v1/notifications/cancel",
            handlers.by_key,
            "notifications:write",
            "Cancel all notifications that were sent with a cancellation key",
            body=CancelByKeyIn,
            reply=CancelByKeyOut,
            status=202,
            tag="notifications",
        ),
    ]


class _Handlers:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def by_id(self, call: Call) -> Reply:
        door, tenant, text = self._door, call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        if id_ is None or not door.known(tenant, id_):
            raise NotFound(f"unknown notification {text!r}", field="id")
        subject = Subject(id_, ids.partition_of(id_))
        await door.journal.append(cancellation(tenant, [subject], door.clock.now_ms()))
        return Reply(CancelOut(text, "cancelled"), 202)

    async def by_key(self, call: Call) -> Reply:
        door, tenant, text = self._door, call.caller.tenant, call.body.cancellation_key
        key = cancel_key(text)
        cancelled = 0
        while waits := door.journal.waits(tenant, key, CANCELLATIONS_PER_APPEND_MAX):
            if cancelled >= CANCELLATIONS_PER_CALL_MAX:
                break
            await door.journal.append(cancellation_by_key(tenant, key, waits, door.clock.now_ms()))
            cancelled += len(waits)
        return Reply(CancelByKeyOut(text, cancelled, bool(waits)), 202)
