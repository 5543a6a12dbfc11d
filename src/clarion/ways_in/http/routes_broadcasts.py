"""Endpoints that start, pause, resume and cancel broadcasts. The record stage serves their progress."""

from collections.abc import Awaitable, Callable

from clarion.accept.intake import Intake
from clarion.accept.intake_lifecycle import Lifecycle
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.ports.web import Call, Reply, Route
from clarion.ways_in.http.routes_once import answer, key_of


def routes(intake: Intake, lifecycle: Lifecycle) -> list[Route]:
    """Return the endpoints of broadcasts."""
    handlers = _Handlers(intake, lifecycle)
    change_status = [
        ("pause", handlers.pause, "Stop planning further recipients"),
        ("resume", handlers.resume, "Resume planning where it was paused"),
        ("cancel", handlers.cancel, "Stop planning and cancel deliveries that are not being sent yet"),
    ]
    return [
        Route(
            "POST",
            "/v1/broadcasts",
            handlers.create,
            "broadcasts:send",
            "Send to everyone, to a topic or to a segment",
            body=BroadcastIn,
            reply=BroadcastOut,
            status=202,
            tag="broadcasts",
            idempotency_key=True,
        ),
        *(
            Route(
                "POST",
                f"/v1/broadcasts/{{id}}/{verb}",
                handler,
                "broadcasts:write",
                summary,
                reply=BroadcastOut,
                status=202,
                tag="broadcasts",
            )
            for verb, handler, summary in change_status
        ),
    ]


class _Handlers:
    def __init__(self, intake: Intake, lifecycle: Lifecycle) -> None:
        self._intake = intake
        self._steering = lifecycle

    async def create(self, call: Call) -> Reply:
        return answer(
            await self._intake.submit(
                call.caller, call.body, key_of(call, call.body.idempotency_key), may_wait_ms=call.may_wait_ms
            )
        )

    async def pause(self, call: Call) -> Reply:
        return await self._change_status(call, self._steering.pause)

    async def resume(self, call: Call) -> Reply:
        return await self._change_status(call, self._steering.resume)

    async def cancel(self, call: Call) -> Reply:
        return await self._change_status(call, self._steering.cancel_broadcast)

    async def _change_status(self, call: Call, change_status: Callable[[str, str], Awaitable[str]]) -> Reply:
        text = call.path["id"]
        return Reply(BroadcastOut(text, await change_status(call.caller.tenant, text)), 202)
