"""Connections that can become WebSockets (RFC 6455). The head of a handshake is read and checked as that of every request;
then the connection is given to picows, which reads and writes its frames.

Everything that limits connections counts a WebSocket as one that is never idle: who has it open says when to close it.
"""

import logging
import math
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from picows import WSAutoPingStrategy, WSListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from clarion.domain.errors import CallerError
from clarion.domain.limits_gateway import FRAME_BYTES_MAX, HANDSHAKE_WAIT_S_MAX
from clarion.edge.connections import Connections
from clarion.edge.heads import RefusedRequest
from clarion.edge.protocol import BoundedHttp

_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_VERSION: Final = b"13"
_CHUNKED: Final = b"transfer-encoding"
_ONCE: Final = (b"upgrade", b"sec-websocket-key", b"sec-websocket-version", b"origin")
_READ_BUFFER_BYTES: Final = 2_048
"""Where the buffer of a connection begins: what clients send is short."""
_LOG: Final = logging.LoggerAdapter(logging.getLogger("clarion.edge.upgrades"), {})
"""An adapter: of a plain logger picows would make another one for each connection. It says when connections begin and end."""
_LOG.setLevel(logging.WARNING)
# Whoever can connect could fill the log with frames that break the protocol.
_LOG.logger.addFilter(lambda record: not str(record.msg).startswith("WS parser error"))


Headers = Sequence[tuple[bytes, bytes]]


class Handshake(NamedTuple):
    """What a client asks for: `target` is path and query as received, `address` the peer of the connection, `fields` all headers,
    of which `headers` has the last of each name."""

    target: bytes
    headers: dict[bytes, bytes]
    address: str
    fields: Headers = ()


class Socket(WSListener):
    """One WebSocket, of the side that serves it."""

    @abstractmethod
    def begin(self, close: Callable[[], None]) -> None:
        """Keep what closes the connection at once."""

    @abstractmethod
    def drain(self) -> None:
        """Ask the client to leave: the process stops."""


Doorway = Callable[[Handshake], Socket | None]
"""Decides about a handshake without waiting: a socket, None where no WebSocket is served. Raises `CallerError`."""


class UpgradableHttp(BoundedHttp):
    """A connection whose client may offer to go on with WebSocket."""

    __slots__ = ("_doorway", "_frames", "_socket")

    def __init__(self, doorway: Doorway, connections: Connections, *args: Any, **options: Any) -> None:
        super().__init__(connections, *args, **options)
        self._doorway = doorway
        self._frames: WSProtocol | None = None
        self._socket: Socket | None = None

    @property
    def idle_since_s(self) -> float:
        """When it became idle; infinite for a WebSocket."""
        return math.inf if self._frames is not None else super().idle_since_s

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return whether the connection stays open: a client that stops sending while it gets a response has left a stream."""
        return super().eof_received() and not self.cycle.response_started

    def shutdown(self) -> None:
        """Ask the client of a WebSocket to leave; end everything else as HTTP does."""
        if self._socket is None:
            super().shutdown()
        else:
            self._socket.drain()

    def _ignore_upgrade(self) -> None:
        headers = dict(self.headers)
        if self.parser.get_method() != b"GET" or headers.get(b"upgrade", b"").lower() != b"websocket":
            super()._ignore_upgrade()
            return
        self._check(headers)
        try:
            socket = self._doorway(Handshake(self.url, headers, (self.client or ("", 0))[0], self.headers))
        except CallerError as error:
            self._whole = True
            self._refuse(error)
            return
        if socket is None:
            super()._ignore_upgrade()
            return
        self._hand_over(socket, headers)

    def _check(self, headers: dict[bytes, bytes]) -> None:
        """Raise `RefusedRequest` for a handshake that RFC 6455, section 4.2.1, refuses."""
        names = [name for name, _ in self.headers]
        if (
            self.parser.get_http_version() != "1.1"
            or headers.get(b"content-length", b"0") != b"0"
            or _CHUNKED in headers
        ):
            raise RefusedRequest("a WebSocket handshake is a request of HTTP/1.1 without a body")
        if any(names.count(name) > 1 for name in _ONCE):
            raise RefusedRequest("the WebSocket handshake has a header twice")
        options = {option.strip().lower() for option in headers.get(b"connection", b"").split(b",")}
        if b"upgrade" not in options:
            raise RefusedRequest("the Connection header of a WebSocket handshake must name upgrade")
        if headers.get(b"sec-websocket-version") != _VERSION:
            raise RefusedRequest("the version of WebSocket is not supported: it must be 13")
        if _KEY.fullmatch(headers.get(b"sec-websocket-key", b"")) is None:
            raise RefusedRequest("the Sec-WebSocket-Key header is not valid")

    def _hand_over(self, socket: Socket, headers: dict[bytes, bytes]) -> None:
        transport = self._wire
        self._deadline.cancel()
        self._socket, self._offers_upgrade, self._whole = socket, False, True
        frames = _protocol(socket)
        self._frames = frames
        socket.begin(self._gone)
        # A transport that reads keeps to the kind of protocol it began with.
        transport.pause_reading()
        transport.set_protocol(frames)
        frames.connection_made(transport)
        _put(frames, _head(headers))
        self._forget_request()
        transport.resume_reading()

    def _hold(self, data: bytes, at: int) -> None:
        if self._frames is None:
            super()._hold(data, at)
        else:
            _put(self._frames, data[at:])  # a client that did not wait for the response

    def _gone(self) -> None:
        """Free what the connection holds, once its WebSocket has ended."""
        self._socket = None
        self.server_state.connections.discard(self)
        self._others.leave(self)


def _protocol(socket: Socket) -> WSProtocol:
    """Return the protocol of one connection. It does not ping: one timer does for all."""
    return WSProtocol(
        None,  # host, path: of clients alone
        None,
        False,  # is a client
        lambda _request: socket,
        _LOG,
        True,  # disconnects on an exception
        HANDSHAKE_WAIT_S_MAX,
        False,  # pings by itself
        0,
        0,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # answers pings by itself: then nobody would count them
        FRAME_BYTES_MAX,
        None,  # further headers
        _READ_BUFFER_BYTES,
    )


def _head(headers: dict[bytes, bytes]) -> bytes:
    """Return the smallest head that a handshake has: picows keeps it as long as the connection."""
    lines = (
        b"GET / HTTP/1.1",
        b"Host: -",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: " + _VERSION,
        b"Sec-WebSocket-Key: " + headers[b"sec-websocket-key"],
    )
    return b"\r\n".join([*lines, b"", b""])


def _put(frames: WSProtocol, data: bytes) -> None:
    """Give bytes to a protocol that reads into a buffer of its own."""
    while data:
        room = frames.get_buffer(len(data))
        part = data[: len(room)]
        room[: len(part)] = part
        data = data[len(part) :]
        del room
        frames.buffer_updated(len(part))
