"""Endpoints that cancel notifications: one by its id, or all that carry a cancellation key."""

from clarion.accept.intake_lifecycle import Lifecycle
from clarion.accept.shapes import CancelByKeyIn, CancelByKeyOut, CancelOut
from clarion.ports.web import Call, Reply, Route


def routes(lifecycle: Lifecycle) -> list[Route]:
    """Return the endpoints that cancel notifications."""
    handlers = _Handlers(lifecycle)
    return [
        Route(
            "POST",
            "/v1/notifications/{id}/cancel",
            handlers.by_id,
            "notifications:write",
            "Cancel the deliveries of a notification that are not being sent yet",
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
    def __init__(self, lifecycle: Lifecycle) -> None:
        self._steering = lifecycle

    async def by_id(self, call: Call) -> Reply:
        text = call.path["id"]
        await self._steering.cancel(call.caller.tenant, text)
        return Reply(CancelOut(text, "cancelled"), 202)

    async def by_key(self, call: Call) -> Reply:
        text = call.body.cancellation_key
        cancelled = await self._steering.cancel_by_key(call.caller.tenant, text)
        return Reply(CancelByKeyOut(text, cancelled.notifications, cancelled.more), 202)
