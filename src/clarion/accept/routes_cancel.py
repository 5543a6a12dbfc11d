"""Endpoints that take notifications back: one by its id, or all that carry a cancellation key."""

from clarion.accept.intake_steering import Steering
from clarion.accept.shapes import CancelByKeyIn, CancelByKeyOut, CancelOut
from clarion.ports.web import Call, Reply, Route


def routes(steering: Steering) -> list[Route]:
    """Return the endpoints of cancelling notifications."""
    handlers = _Handlers(steering)
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
    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    async def by_id(self, call: Call) -> Reply:
        text = call.path["id"]
        await self._steering.cancel(call.caller.tenant, text)
        return Reply(CancelOut(text, "cancelled"), 202)

    async def by_key(self, call: Call) -> Reply:
        text = call.body.cancellation_key
        cancelled = await self._steering.cancel_by_key(call.caller.tenant, text)
        return Reply(CancelByKeyOut(text, cancelled.notifications, cancelled.more), 202)
