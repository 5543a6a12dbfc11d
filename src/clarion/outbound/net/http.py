"""Guarded HTTP client: HTTP/2 where the peer supports it, pooled, deadlines on everything, no redirects, no proxies.

Each origin gets its own client (several where calls must not share a connection), pinned to one checked address: when
the name later resolves to another address, the client does not follow. Name and address are checked again every
`EGRESS_ADDRESS_TTL_MS`.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PoolTimeoutError, PyreqwestError, RequestError
from pyreqwest.http import Url

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import (
    ATTEMPT_DETAIL_CHARS_MAX,
    EGRESS_ADDRESS_TTL_MS,
    EGRESS_CLIENTS_MAX,
    EGRESS_CONNECT_TIMEOUT_MS_DEFAULT,
    EGRESS_CONNECTIONS_MAX,
    EGRESS_INFLIGHT_MAX,
    EGRESS_URL_CHARS_MAX,
)
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.outbound.net.guard import HTTP_PORTS
from clarion.outbound.net.resolver import Resolver

_ORIGIN: Final = re.compile(r"https?://[^\x00-\x20\x7f/\\?#@%]+(?=[/?#]|\Z)")
"""The part of a URL that determines where to connect. No parser can interpret it differently: no user part, no escapes,
no backslash, no white space."""
_NOT_CONNECTED: Final = "client error (Connect)"
"""The cause that hyper reports for failures of connecting and of the TLS handshake, and for no later failure.
pyreqwest's exception class does not distinguish them: a connection dropped after the request is a `ConnectError`,
too."""


_Key: TypeAlias = tuple[str, str]
"""An origin, and a key that separates calls to it that must not share a connection."""


class _Route(msgspec.Struct, eq=False):
    """An origin's client, pinned to one checked address. Once dropped, it closes after its last running call."""

    client: Client
    address: str
    expires_ms: int
    alternatives: int = 0


class GuardedHttp:
    """Implements the `HttpEgress` port over pyreqwest. Run it on uvloop: on asyncio's own loop a call costs three times
    as much.

    `ca_file` is a PEM file of a CA to trust in addition to the well-known ones; `allow_plain` permits `http://`;
    `monotonic_ms` is the clock for the age of addresses.
    """

    def __init__(
        self,
        allow_private: Iterable[str] = (),
        ca_file: str | None = None,
        *,
        allow_plain: bool = False,
        ports: Iterable[range] = HTTP_PORTS,
        resolver: Resolver | None = None,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self._resolver = resolver or Resolver(allow_private)
        self._ca_pem = Path(ca_file).read_bytes() if ca_file else None
        self._allow_plain = allow_plain
        self._ports = tuple(ports)
        self._monotonic_ms = monotonic_ms
        self._routes: OrderedDict[_Key, _Route] = OrderedDict()
        self._opening: dict[_Key, asyncio.Task[_Route]] = {}
        self._turns: dict[_Key, int] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the response. Raises `EgressError`; `sent` is `NO` only when no byte of the request can have been
        sent."""
        origin = _ORIGIN.match(request.url)
        if origin is None or len(request.url) > EGRESS_URL_CHARS_MAX:
            raise EgressError("the URL is not a plain absolute http(s) URL", sent=Sent.NO, blocked=True)
        key = origin.group(), request.connection
        route = self._routes.get(key)
        if route is None or route.expires_ms <= self._monotonic_ms():
            route = await self._open(key, request.timeout_ms)
        try:
            return await self._call(route.client, request)
        except (PyreqwestError, ValueError) as error:
            failure = _translated(error)
            if failure.sent is Sent.NO and route.alternatives and self._routes.get(key) is route:
                # The next call resolves the name again and tries its next address.
                if len(self._turns) >= EGRESS_CLIENTS_MAX:
                    self._turns.clear()
                self._turns[key] = self._turns.get(key, 0) + 1
                del self._routes[key]
            raise failure from None

    async def close(self) -> None:
        """Close all connections; running calls fail."""
        for task in list(self._opening.values()):
            task.cancel()
        routes, self._routes = self._routes, OrderedDict()
        for route in routes.values():
            await route.client.close()

    async def _call(self, client: Client, request: HttpRequest) -> HttpResponse:
        builder = client.request(request.method, request.url).headers(request.headers).body_bytes(request.body)
        async with builder.timeout(_delta(request.timeout_ms)).build_streamed() as response:
            body = await response.body_reader.read(request.answer_bytes_max)
            return HttpResponse(response.status, dict(response.headers), bytes(body or b""))

    async def _open(self, key: _Key, timeout_ms: int) -> _Route:
        """Return a current route of an origin; concurrent callers share the work. Raises `EgressError`."""
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = asyncio.create_task(self._renewed(key))
            task.add_done_callback(lambda _: self._opening.pop(key, None))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await asyncio.shield(task)
        except TimeoutError:
            raise EgressError("the name did not resolve in time", sent=Sent.NO) from None

    async def _renewed(self, key: _Key) -> _Route:
        """Resolve and check an origin. Return its route with the existing client if the name still has its address,
        else with a new one. Raises `EgressError`."""
        try:
            url = Url(key[0])
        except ValueError:
            raise EgressError("the URL's host or port is not valid", sent=Sent.NO, blocked=True) from None
        if url.scheme == "http" and not self._allow_plain:
            raise EgressError("outbound calls go over https", sent=Sent.NO, blocked=True)
        host, port = url.host_str or "", url.port_or_known_default or 0
        addresses = await self._resolver.addresses(host.strip("[]"), port, self._ports)
        expires_ms = self._monotonic_ms() + EGRESS_ADDRESS_TTL_MS
        route = self._routes.get(key)
        if route is not None and route.address in addresses:
            route.expires_ms = expires_ms
            self._routes.move_to_end(key)
            return route
        address = addresses[self._turns.get(key, 0) % len(addresses)]
        fresh = self._routes[key] = _Route(self._client(host, address, port), address, expires_ms, len(addresses) - 1)
        while len(self._routes) > EGRESS_CLIENTS_MAX:
            self._routes.popitem(last=False)
        return fresh

    def _client(self, host: str, address: str, port: int) -> Client:
        builder = (
            ClientBuilder()
            .resolve(host, address, port)
            .http2(True)
            .http2_keep_alive_interval(timedelta(seconds=20))
            .http2_keep_alive_timeout(timedelta(seconds=10))
            .http2_max_header_list_size(64 * 1024)
            .connect_timeout(timedelta(milliseconds=EGRESS_CONNECT_TIMEOUT_MS_DEFAULT))
            .max_connections(EGRESS_INFLIGHT_MAX)
            .pool_max_idle_per_host(EGRESS_CONNECTIONS_MAX)
            .follow_redirects(False)
            .referer(False)
            .no_proxy()
            .user_agent("clarion")
            # Compressed responses are not requested: no body can expand to more than was received.
            .gzip(False).brotli(False).zstd(False).deflate(False)
        )  # fmt: skip
        if self._ca_pem is not None:
            builder = builder.add_root_certificate_pem(self._ca_pem)
        return builder.build()


@lru_cache(maxsize=64)
def _delta(timeout_ms: int) -> timedelta:
    return timedelta(milliseconds=timeout_ms)


def _translated(error: Exception) -> EgressError:
    """Return the `EgressError` for an error of pyreqwest; if unsure, with `sent` as `MAYBE`."""
    if isinstance(error, BuilderError) or not isinstance(error, PyreqwestError):
        return EgressError("the request cannot be put on the wire", sent=Sent.NO)
    causes = (
        [cause["message"] for cause in (error.details.get("causes") or ())] if isinstance(error, RequestError) else []
    )
    sent = Sent.NO if isinstance(error, PoolTimeoutError) or _NOT_CONNECTED in causes else Sent.MAYBE
    # The first cause contains the whole URL, which may be a secret.
    words = ": ".join([error.message, *causes[1:]])
    return EgressError(words[:ATTEMPT_DETAIL_CHARS_MAX], sent=sent)
