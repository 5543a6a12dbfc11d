"""The ASGI application: routes by path, the API's own description, health and metrics."""

from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial

from starlette.routing import Route as PathRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.app.http.endpoint import Endpoint, Identify, problem
from clarion.app.http.openapi import document, page
from clarion.app.http.room import Room
from clarion.domain.errors import NotFound, Overloaded
from clarion.domain.limits import BODIES_BYTES_MAX, PATH_CHARS_SHOWN_MAX
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import PUBLIC, Call, Reply, Route


def application(
    routes: Sequence[Route],
    identify: Identify,
    telemetry: Telemetry,
    *,
    requests_max: int,
    on_durability_lost: Callable[[], None],
) -> ASGIApp:
    """Return the application for these routes, with `/openapi.json` and `/docs` added. `on_durability_lost` is called
    when a commit failed: the process has to stop."""
    described = [*routes, *_description(routes)]
    by_path: dict[str, dict[str, Route]] = {}
    for route in described:
        by_path.setdefault(route.path, {})[route.method] = route
    room = Room(BODIES_BYTES_MAX)
    # Fixed paths first: `/v1/users/bulk` must not be read as the user `bulk`.
    ordered = sorted(by_path.items(), key=lambda item: ("{" in item[0], item[0] not in _HOT))
    paths = [
        PathRoute(path, endpoint=Endpoint(methods, identify, telemetry, room, on_durability_lost))
        for path, methods in ordered
    ]
    return _Bounded(Router(paths, redirect_slashes=False, default=_unknown), requests_max)


_HOT = ("/v1/notifications", "/v1/notifications/batch")


class _Bounded:
    """Refuses requests beyond a number under way, before anything of them is read."""

    def __init__(self, app: ASGIApp, requests_max: int) -> None:
        self._app = app
        self._requests_max = requests_max
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._requests_max:
            await problem(send, Overloaded("too many requests are under way", retry_after_s=1))
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await problem(send, NotFound(f"there is nothing at {scope['path'][:PATH_CHARS_SHOWN_MAX]}"))


def _description(routes: Sequence[Route]) -> list[Route]:
    openapi = _made_once(document, routes, "application/json")
    html = _made_once(page, routes, "text/html; charset=utf-8")
    return [
        Route("GET", "/openapi.json", openapi, PUBLIC, "This description", tag="about"),
        Route("GET", "/docs", html, PUBLIC, "This description, to read", tag="about"),
    ]


def _made_once(
    make: Callable[[Sequence[Route]], bytes], routes: Sequence[Route], content_type: str
) -> Callable[[Call], Awaitable[Reply]]:
    # Made when it is first asked for: it takes as long as the rest of a start.
    made = cache(partial(make, routes))

    async def handler(_call: Call) -> Reply:
        return Reply(raw=made(), content_type=content_type)

    return handler
