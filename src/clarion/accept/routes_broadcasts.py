"""Endpoints that start and steer broadcasts. Progress is read in the record stage."""

from collections.abc import Awaitable, Callable

from clarion.accept.intake import Intake
from clarion.accept.intake_steering import Steering
from clarion.accept.routes_once import answer, key_of
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.ports.web import Call, Reply, Route


def routes(intake: Intake, steering: Steering) -> list[Route]:
    """Return the endpoints of broadcasts."""
    handlers = _Handlers(intake, steering)
    write = "notifications:write"
    steer = [
        ("pause", handlers.pause, "Stop planning further recipients"),
        ("resume", handlers.resume, "Go on where planning was paused"),
        ("cancel", handlers.cancel, "Plan nobody any more and cancel what is not on its way"),
    ]
    return [
        Route(
            "POST",
            "/v1/broadcasts",
            handlers.create,
            write,
            "Send to everyone, to a topic or to a segment",
            body=BroadcastIn,
            reply=BroadcastOut,
            status=202,
            tag="broadcasts",
        ),
        *(
            Route(
                "POST",
                f"/v1/broadcasts/{{id}}/{verb}",
                handler,
                write,
                summary,
                reply=BroadcastOut,
                status=202,
                tag="broadcasts",
            )
            for verb, handler, summary in steer
        ),
    ]


class _Handlers:
    def __init__(self, intake: Intake, steering: Steering) -> None:
        self._intake = intake
        self._steering = steering

    async def create(self, call: Call) -> Reply:
        return answer(await self._intake.submit(call.caller, call.body, key_of(call, call.body.idempotency_key)))

    async def pause(self, call: Call) -> Reply:
        return await self._steer(call, self._steering.pause)

    async def resume(self, call: Call) -> Reply:
        return await self._steer(call, self._steering.resume)

    async def cancel(self, call: Call) -> Reply:
        return await self._steer(call, self._steering.cancel_broadcast)

    async def _steer(self, call: Call, steer: Callable[[str, str], Awaitable[str]]) -> Reply:
        text = call.path["id"]
        return Reply(BroadcastOut(text, await steer(call.caller.tenant, text)), 202)
