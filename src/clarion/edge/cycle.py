"""uvicorn's cycle of one request and its response, with less work per response: the lines of headers that many responses have
are checked and joined once, and a head is written together with its body."""

import asyncio
import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from clarion.domain.limits_processes import HEADER_LINES_KEPT_MAX
from clarion.edge.flow import Flow, OneWaiterEvent
from clarion.edge.output import Output

IDLE_MS: Final = "idle_ms"
"""Key of the scope's state: how long the connection was idle after the response before; infinite for its first
request."""
VOUCH: Final = "vouch"
"""Key of the state of a connection's first request: a function to call once its credential is known to be valid."""
_NOT_IN_NAME: Final = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_NOT_IN_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = b"content-length"
_CLOSE: Final = (b"connection", b"close")


class Cycle(RequestResponseCycle):
    """A request and its response."""

    _head: bytes | None = None
    """The head that waits for its body."""
    _is_plain: bool = False
    """Whether uvicorn writes the response: one without a length."""

    async def send(self, message: Any) -> None:
        """Write a part of the response, as ASGI demands. Raises `RuntimeError` for one that is not valid HTTP."""
        if self._is_plain or self.response_complete:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            if not self._start(message["status"], message["headers"]):
                self._is_plain = True
                await super().send(message)
        elif message["type"] == "http.response.body" and self.response_started and not message.get("more_body"):
            self._end(message.get("body", b""))
        else:
            raise RuntimeError(f"a response has no {message['type']} here")

    def _start(self, status: int, headers: Any) -> bool:
        """Return whether the length of the response is known, and keep its head if so."""
        length = -1
        for name, value in headers:
            if name == _LENGTH:
                length = int(value)
        if length < 0:
            if status != HTTPStatus.NO_CONTENT:
                return False
            length = 0
        self.response_started, self.waiting_for_100_continue = True, False
        if self.keep_alive and _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive and _CLOSE not in headers:
            headers = [*headers, _CLOSE]
        self.expected_content_length = length
        lines = [STATUS_LINE[status], *map(_line, self.default_headers), *map(_line, headers), b"\r\n"]
        self._head = b"".join(lines)
        return True

    def _end(self, body: bytes) -> None:
        head, self._head = self._head, None
        if self.scope["method"] == "HEAD":
            body = b""
        elif len(body) != self.expected_content_length:
            raise RuntimeError("the response is longer or shorter than its content-length")
        cast("Output", self.transport).write(head or b"", body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@lru_cache(HEADER_LINES_KEPT_MAX)
def _line(header: tuple[bytes, bytes]) -> bytes:
    """Return the line of a header. Raises `RuntimeError` for one that would change the meaning of what follows."""
    name, value = header
    if not name or _NOT_IN_NAME.search(name) or _NOT_IN_VALUE.search(value):
        raise RuntimeError("a header of the response is not valid")
    return b"%s: %s\r\n" % (name.lower(), value)


class CycleProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with `Cycle`. A connection has one request at a time, and upgrades are ignored."""

    __slots__ = ()
    cycle: Cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection. What uvicorn has for several requests at a time is left out: it takes a kilobyte."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        del self.pipeline

    def on_headers_complete(self) -> None:
        """Start the request."""
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        url = httptools.parse_url(self.url)
        raw_path = url.path
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = raw_path, url.query or b""
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=cast("asyncio.Event", OneWaiterEvent()),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(cycle, self.app)
