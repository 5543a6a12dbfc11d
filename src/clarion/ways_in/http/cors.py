"""CORS (Fetch standard, section 3.2) for routes that take user tokens: a tenant's pages on other origins may call them.

A preflight has no credential, so its tenant is unknown. It gets the same response from every origin, which says nothing
about any tenant; only a page that has a token can go on. Then the token's tenant decides: a change from a page of another
origin is refused, and a response without `Access-Control-Allow-Origin` is withheld from the page. Credentials of the browser
(cookies) are never allowed. A page of an allowed origin can also read why its request was refused.
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clarion.domain.errors import Forbidden
from clarion.domain.limits import PREFLIGHT_S_MAX
from clarion.domain.origins import ORIGIN_CHARS_MAX
from clarion.domain.permissions import OF_USER
from clarion.domain.security_events import SecurityEvent
from clarion.edge.peers import peer_of
from clarion.edge.safe_headers import SAFE
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller, Route
from clarion.ways_in.http.origins import Origins

EXCHANGE: Final = "clarion.cross_origin"
"""Key of the scope: the `Exchange` of a request with an `Origin`."""
_READING: Final = frozenset({"GET", "HEAD"})
_BEFORE_TENANT: Final = frozenset({401, 405, 429, 503})
"""Statuses of refusals that can precede the check of the credential, and say nothing about any tenant. Pages can read
them, so that they see that a token has ended, that a path has no such method, or when to come back."""
_VARY: Final = (b"vary", b"Origin")
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"RateLimit, RateLimit-Policy, Retry-After",
)
_SENT: Final = ("Authorization", "Content-Type")
_ANY: Final = (b"access-control-allow-origin", b"*")


def takes_user_tokens(route: Route) -> bool:
    """Return whether a user token may call a route."""
    return route.permission in OF_USER


class CrossOrigin:
    """The routes of one path, some of which take user tokens."""

    def __init__(self, endpoint: ASGIApp, routes: Iterable[Route], origins: Origins, telemetry: Telemetry) -> None:
        self._endpoint = endpoint
        self._origins = origins
        self._telemetry = telemetry
        routes = list(routes)
        taking = [route for route in routes if takes_user_tokens(route)]
        sent = [*_SENT, *(["Idempotency-Key"] if any(route.idempotency_key for route in routes) else [])]
        self._path = taking[0].path
        self._preflight = (
            *SAFE,
            _ANY,
            (b"access-control-allow-methods", ", ".join(sorted(route.method for route in taking)).encode()),
            (b"access-control-allow-headers", ", ".join(sent).encode()),
            (b"access-control-max-age", b"%d" % PREFLIGHT_S_MAX),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or add the headers of CORS to the response."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if scope["method"] == "OPTIONS" and origin is not None and b"access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": list(self._preflight)})
            await send({"type": "http.response.body", "body": b""})
            return
        exchange = None
        if origin is not None and not self._is_own(scope, headers, origin):
            exchange = Exchange(self._origins, self._telemetry, f"{scope['method']} {self._path}", scope, origin)
            scope[EXCHANGE] = exchange

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = () if exchange is None else exchange.headers(message["status"])
                message["headers"] = [*message["headers"], _VARY, *own]
            await send(message)

        await self._endpoint(scope, receive, answer)

    def _is_own(self, scope: Scope, headers: dict[bytes, bytes], origin: bytes) -> bool:
        """Return whether a page of the API's own origin makes the request. Pages cannot set these headers."""
        return (
            headers.get(b"sec-fetch-site") == b"same-origin"
            or origin == b"%b://%b" % (scope.get("scheme", "http").encode(), headers.get(b"host", b""))
            or origin == self._origins.own
        )


class Exchange:
    """A request from a page of another origin, and what its response tells the browser."""

    def __init__(self, origins: Origins, telemetry: Telemetry, route: str, scope: Scope, origin: bytes) -> None:
        self._origins = origins
        self._telemetry = telemetry
        self._route = route
        self._scope = scope
        self._origin = origin
        self._headers: tuple[tuple[bytes, bytes], ...] = (_ANY, _EXPOSED)
        self._known = False

    async def check(self, caller: Caller) -> None:
        """Let the tenant of a user token decide about the origin. Raises `Forbidden` for a change from an origin that it
        does not allow. The callers of API keys are no pages, and get no headers."""
        self._known, self._headers = True, ()
        if caller.user_id is None:
            return
        text = self._origin.decode("latin-1")
        if await self._origins.allow(caller.tenant, text):
            self._headers = ((b"access-control-allow-origin", self._origin), _EXPOSED)
        elif self._scope["method"] not in _READING:
            self._telemetry.security(
                SecurityEvent.ORIGIN_REFUSED,
                tenant=caller.tenant,
                user=caller.user_id,
                peer=peer_of(self._scope.get("client")),
                route=self._route,
                subject=text[:ORIGIN_CHARS_MAX],
            )
            raise Forbidden("the tenant does not allow pages of this origin", field="Origin", code="origin_not_allowed")

    def headers(self, status: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of CORS of a response."""
        return self._headers if self._known or status in _BEFORE_TENANT else ()
