"""The ASGI application: routes by path, and the description of the API."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from typing import Final

from starlette.routing import Route as PathRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.domain.errors import DurabilityError, NotFound
from clarion.domain.limits_processes import PATH_CHARS_SHOWN_MAX
from clarion.domain.own_pages import OwnPages
from clarion.domain.permissions import PUBLIC
from clarion.edge.one_a_turn import OneATurn
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route
from clarion.ways_in.http.admission import ConcurrencyLimits
from clarion.ways_in.http.cors import CrossOrigin, takes_user_tokens
from clarion.ways_in.http.credentials import Credentials, Identify
from clarion.ways_in.http.endpoint import Endpoint
from clarion.ways_in.http.gate import Gate
from clarion.ways_in.http.openapi import document, page
from clarion.ways_in.http.origins import Origins
from clarion.ways_in.http.problems import problem
from clarion.ways_in.http.request_limits import QuotasOf, RequestLimits
from clarion.ways_in.http.settings import Api

_PAGE_COST: Final = 20
"""How many requests one for the description counts as at the limit of an address: it is a hundred times as large as others."""


def _nobody(_secret: str) -> bool:
    return False


def application(
    routes: Sequence[Route],
    identify: Identify,
    telemetry: Telemetry,
    *,
    api: Api,
    quotas: QuotasOf,
    on_durability_lost: Callable[[DurabilityError], None],
    origins: Origins | None = None,
    is_operator: Callable[[str], bool] = _nobody,
) -> ASGIApp:
    """Return the application for these routes, with `/openapi.json` and `/docs` added. `api` and `quotas` hold the
    limits. `on_durability_lost` is called when a commit has failed: the process has to stop. `origins` says which pages
    may use user tokens; None: those of the API's own origin. `is_operator` says which credentials
    never wait for refused ones: those of the operator."""
    described = [*routes, *_description(routes)]
    by_path: dict[str, dict[str, Route]] = {}
    for route in described:
        by_path.setdefault(route.path, {})[route.method] = route
    now_ns, limits = time.monotonic_ns, api.limits
    gate = Gate(
        Credentials(identify, telemetry, now_ns, limits.refused_keys, is_operator),
        RequestLimits(limits, quotas, now_ns),
        ConcurrencyLimits(api.max_requests, api.max_requests_per_tenant),
        telemetry,
        OneATurn(),
        OwnPages("" if origins is None else origins.own.decode()),
    )
    endpoints: dict[str, ASGIApp] = {}
    for path, methods in by_path.items():
        endpoints[path] = Endpoint(methods, gate, telemetry, on_durability_lost)
        if origins is not None and any(takes_user_tokens(route) for route in methods.values()):
            endpoints[path] = CrossOrigin(endpoints[path], methods.values(), origins, telemetry)
    patterns = [PathRoute(path, endpoint=endpoint) for path, endpoint in endpoints.items() if "{" in path]
    fixed = {path: endpoint for path, endpoint in endpoints.items() if "{" not in path}
    return _ByPath(fixed, Router(patterns, redirect_slashes=False, default=_unknown))


class _ByPath:
    """Routes by fixed paths before path patterns: `/v1/users/bulk` must not be read as the user `bulk`."""

    def __init__(self, fixed: Mapping[str, ASGIApp], patterns: ASGIApp) -> None:
        self._fixed = fixed
        self._patterns = patterns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._fixed.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or self._patterns)(scope, receive, send)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await problem(send, NotFound(f"there is nothing at {scope['path'][:PATH_CHARS_SHOWN_MAX]}"))


def _description(routes: Sequence[Route]) -> list[Route]:
    openapi = _made_once(document, routes, "application/json")
    html = _made_once(page, routes, "text/html; charset=utf-8")
    return [
        Route("GET", "/openapi.json", openapi, PUBLIC, "This description", tag="about", cost=_PAGE_COST),
        Route("GET", "/docs", html, PUBLIC, "This description, to read", tag="about", cost=_PAGE_COST),
    ]


def _made_once(
    make: Callable[[Sequence[Route]], bytes], routes: Sequence[Route], content_type: str
) -> Callable[[Call], Awaitable[Reply]]:
    # Built at the first request for it: building takes as long as the rest of a start.
    made = cache(partial(make, routes))

    async def handler(_call: Call) -> Reply:
        return Reply(raw=made(), content_type=content_type)

    return handler
