"""A lean client of the gateway: it reads the frames of a WebSocket with nothing of the product."""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import Any, Final

import msgspec

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_SHORT: Final = 125
_TWO_BYTES: Final = 126
_HEAD: Final = (
    "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n"
)
_SWITCHED: Final = b"HTTP/1.1 101 "


class Message(msgspec.Struct, frozen=True):
    """What this client needs of a message."""

    type: str
    position: str | None = None
    recovered: bool = False
    item: dict[str, Any] | None = None


DECODER: Final = msgspec.json.Decoder(Message)


def masked(payload: bytes, operation: int = TEXT) -> bytes:
    """Return a frame of a client. A mask of zeros is as good as any: it protects proxies from pages, not this one."""
    size = len(payload)
    length = bytes([0x80 | size]) if size <= _SHORT else bytes([0x80 | _TWO_BYTES]) + size.to_bytes(2, "big")
    return bytes([0x80 | operation]) + length + bytes(4) + payload


def hello(token: str, position: str | None = None) -> bytes:
    """Return the first frame of a client of the gateway."""
    message = {"type": "hello", "token": token} | ({"position": position} if position else {})
    return masked(msgspec.json.encode(message))


class Page(asyncio.Protocol):
    """One connection. `first` is what it sends with its handshake, or after that was answered if it `waits`; `heard` is called with
    each text frame, `ended` when the connection has ended."""

    __slots__ = ("_buffer", "_ended", "_first", "_heard", "_is_open", "_path", "_waits", "transport")

    def __init__(
        self,
        first: bytes,
        heard: Callable[["Page", bytes], None],
        ended: Callable[["Page"], None],
        path: str = "/v1/live",
        *,
        waits: bool = False,
    ) -> None:
        self._first, self._path, self._waits = first, path, waits
        self._heard, self._ended = heard, ended
        self._buffer = b""
        self._is_open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self.transport = transport  # type: ignore[assignment]
        head = _HEAD.format(self._path, base64.b64encode(os.urandom(16)).decode()).encode()
        self.transport.write(head if self._waits else head + self._first)  # type: ignore[union-attr]

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        self._ended(self)

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        data = self._buffer + data if self._buffer else data
        if not self._is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if not head.startswith(_SWITCHED):
                self.cut()
                return
            self._is_open = True
            if self._waits and self.transport is not None:
                self.transport.write(self._first)
        at = self._frames(data)
        self._buffer = data[at:]

    def _frames(self, data: bytes) -> int:
        """Read whole frames, and return where the rest begins."""
        at, size = 0, len(data)
        while size - at >= 2:
            operation, length, start = data[at] & 15, data[at + 1] & 127, at + 2
            if length > _SHORT:
                wide = 2 if length == _TWO_BYTES else 8
                if size - start < wide:
                    break
                length, start = int.from_bytes(data[start : start + wide], "big"), start + wide
            if size - start < length:
                break
            at = start + length
            self._frame(operation, data[start:at])
            if self.transport is None:
                return size
        return at

    def _frame(self, operation: int, payload: bytes) -> None:
        if operation == TEXT:
            self._heard(self, payload)
        elif operation == PING and self.transport is not None:
            self.transport.write(masked(payload, PONG))
        elif operation == CLOSE:
            self.cut()

    def cut(self) -> None:
        """End the connection without a word; what comes after is not read."""
        if self.transport is not None:
            transport, self.transport = self.transport, None
            transport.abort()
