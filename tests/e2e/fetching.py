"""`fetch` as a browser does it (Fetch standard, sections 3.2 and 4): what a page of an origin may send and read."""

import http.client
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

_SIMPLE_METHODS = {"GET", "HEAD", "POST"}
_SIMPLE_HEADERS = {"accept", "accept-language", "content-language"}
_SIMPLE_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
_READABLE = {
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
}
_TIMEOUT_S = 20


class NetworkError(Exception):
    """The browser tells the page nothing else."""


class Response(NamedTuple):
    """What the page can read."""

    status: int
    headers: dict[str, str]
    body: bytes


class Page:
    """A page of an origin. `wire` are the methods that were sent, preflights included."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.wire: list[str] = []

    def fetch(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Fetch without credentials of the browser. Raises `NetworkError` for what a browser withholds."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        unsafe = sorted(name for name, value in sent.items() if not _is_simple(name, value))
        if unsafe or method not in _SIMPLE_METHODS:
            self._preflight(url, method, unsafe)
        status, found, content = self._send(url, method, sent, body)
        self._check(found)
        exposed = {name.strip().lower() for name in found.get("access-control-expose-headers", "").split(",")}
        readable = {name: value for name, value in found.items() if name in _READABLE | exposed}
        return Response(status, readable, content)

    def _preflight(self, url: str, method: str, unsafe: list[str]) -> None:
        asked = {"access-control-request-method": method}
        if unsafe:
            asked["access-control-request-headers"] = ",".join(unsafe)
        status, found, _ = self._send(url, "OPTIONS", asked, None)
        self._check(found)
        methods = _list(found, "access-control-allow-methods")
        names = {name.lower() for name in _list(found, "access-control-allow-headers")}
        if not 200 <= status < 300:
            raise NetworkError(f"preflight answered {status}")
        if method not in methods | _SIMPLE_METHODS and "*" not in methods:
            raise NetworkError(f"preflight permits no {method}")
        # The wildcard does not cover Authorization.
        if missing := [name for name in unsafe if name not in names and (name == "authorization" or "*" not in names)]:
            raise NetworkError(f"preflight permits no {missing}")

    def _check(self, found: dict[str, str]) -> None:
        allowed = found.get("access-control-allow-origin")
        if allowed not in ("*", self.origin):
            raise NetworkError(f"the response is for {allowed}")

    def _send(
        self, url: str, method: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        self.wire.append(method)
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request(
                method, parts.path, body, headers | {"origin": self.origin, "sec-fetch-site": "cross-site"}
            )
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()


def _is_simple(name: str, value: str) -> bool:
    return name in _SIMPLE_HEADERS or (
        name == "content-type" and value.partition(";")[0].strip().lower() in _SIMPLE_TYPES
    )


def _list(found: dict[str, str], name: str) -> set[str]:
    return {item.strip() for item in found.get(name, "").split(",") if item.strip()}
