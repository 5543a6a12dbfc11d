"""An HTTP/2 server (RFC 9113) as one asyncio protocol, for small requests and responses only.

All requests of one read are handled together: one receipts write, one socket write. Responses are short except those to
many messages: under 300 bytes where there are thousands a second. At most `SIMULATOR_STREAMS_MAX` streams are open, so
a peer's initial windows are never exceeded, and sending needs no flow control. The announced windows for receiving are
larger than any client fills between two updates.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from clarion_lab.simulate.hpack import Decoder, HpackError, encode, literals
from clarion_lab.simulate.limits import SIMULATOR_BODY_BYTES_MAX, SIMULATOR_STREAMS_MAX

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_INTERNAL_ERROR = 2
_FRAME_BYTES_MAX = 16_384
_WINDOW = 2**31 - 1
_WINDOW_LOW = 2**30
_HEAD = struct.Struct(">HBBBI")


class Request(msgspec.Struct, gc=False):
    """A whole request; `headers` includes the pseudo-headers."""

    stream: int
    headers: dict[str, str]
    body: bytes


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A response. `action` is `answer`, `drop` (reset the stream), `hang` (never respond) or `reset` (cut the
    connection); `slow_s` delays it in addition to the latency of all responses."""

    status: int = 200
    body: bytes = b""
    retry_after_s: int | None = None
    content_type: str = "application/json"
    action: str = "answer"
    headers: tuple[tuple[str, str], ...] = ()
    slow_s: float = 0.0


Handler = Callable[[Sequence[Request]], Sequence[Reply]]


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


_GREETING = (
    _frame(_SETTINGS, 0, 0, struct.pack(">HIHI", 0x3, SIMULATOR_STREAMS_MAX, 0x4, _WINDOW))
    + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - 65_535))
)  # fmt: skip


class Http2Protocol(asyncio.Protocol):
    """One connection. `handler` responds to a batch of requests; `latency_ms` delays every response."""

    def __init__(self, handler: Handler, latency_ms: int) -> None:
        self._handler = handler
        self._latency_s = latency_ms / 1000
        self._buffer = bytearray()
        self._decoder = Decoder()
        self._open: dict[int, Request] = {}
        self._block = b""
        self._ends = False
        self._begun = False
        self._window = _WINDOW
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the server's settings."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        """Read frames and respond to every complete request."""
        self._buffer += data
        try:
            whole, replies = self._frames()
        except (HpackError, struct.error, IndexError, ValueError):
            self._transport.abort()
            return
        if replies:
            self._transport.write(replies)
        if whole:
            later: dict[float, list[tuple[Request, Reply]]] = {}
            for request, reply in zip(whole, self._handler(whole), strict=True):
                later.setdefault(self._latency_s + reply.slow_s, []).append((request, reply))
            for wait_s, answers in later.items():
                if wait_s:
                    asyncio.get_running_loop().call_later(wait_s, self._answer, answers)
                else:
                    self._answer(answers)

    def abort(self) -> None:
        """Cut the connection."""
        if hasattr(self, "_transport"):
            self._transport.abort()

    def _frames(self) -> tuple[list[Request], bytes]:
        """Return the requests that the buffered frames complete, and the bytes to send at once. Raises `ValueError` for
        a frame that is too large."""
        data, at = bytes(self._buffer), 0
        whole: list[Request] = []
        replies = b""
        if not self._begun:
            if len(data) < len(PREFACE):
                return whole, replies
            if not data.startswith(PREFACE):
                raise ValueError("not HTTP/2")
            self._begun, at = True, len(PREFACE)
        while len(data) - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            size = high << 8 | low
            if size > _FRAME_BYTES_MAX:
                raise ValueError("frame too large")
            if len(data) - at < 9 + size:
                break
            payload = data[at + 9 : at + 9 + size]
            at += 9 + size
            if kind == _DATA:
                replies += self._data(stream & _WINDOW, flags, payload, whole)
            elif kind in (_HEADERS, _CONTINUATION):
                self._headers(kind, stream & _WINDOW, flags, payload, whole)
            elif kind == _SETTINGS and not flags & _ACK:
                replies += _frame(_SETTINGS, _ACK, 0)
            elif kind == _PING and not flags & _ACK:
                replies += _frame(_PING, _ACK, 0, payload)
            elif kind == _RST_STREAM:
                self._open.pop(stream & _WINDOW, None)
            elif kind == _GOAWAY:
                self._transport.close()
        del self._buffer[:at]
        return whole, replies

    def _headers(self, kind: int, stream: int, flags: int, payload: bytes, whole: list[Request]) -> None:
        if kind == _HEADERS:
            if flags & _PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & _PRIORITY:
                payload = payload[5:]
            self._open.setdefault(stream, Request(stream, {}, b""))
            self._ends = bool(flags & _END_STREAM)
        self._block += payload
        if len(self._block) > SIMULATOR_BODY_BYTES_MAX or len(self._open) > SIMULATOR_STREAMS_MAX:
            raise ValueError("too many headers or streams")
        if flags & _END_HEADERS:
            # Trailers must be decoded too, to keep the table in step, and add to the headers.
            headers, self._block = self._decoder.decode(self._block), b""
            self._open[stream].headers |= headers
            if self._ends:
                whole.append(self._open.pop(stream))

    def _data(self, stream: int, flags: int, payload: bytes, whole: list[Request]) -> bytes:
        """Store body bytes; return a window update when half of the server's window is used, else b""."""
        self._window -= len(payload)
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if (request := self._open.get(stream)) is not None:
            request.body = request.body + payload if request.body else payload
            if len(request.body) > SIMULATOR_BODY_BYTES_MAX:
                raise ValueError("body too large")
            if flags & _END_STREAM:
                whole.append(self._open.pop(stream))
        if self._window > _WINDOW_LOW:
            return b""
        grown, self._window = _WINDOW - self._window, _WINDOW
        return _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", grown))

    def _answer(self, answers: Sequence[tuple[Request, Reply]]) -> None:
        out = []
        for request, reply in answers:
            if reply.action == "answer":
                block = encode(reply.status, reply.content_type, reply.retry_after_s)
                if reply.headers:
                    block += literals(reply.headers)
                out.append(_frame(_HEADERS, _END_HEADERS, request.stream, block))
                rest = reply.body
                while len(rest) > _FRAME_BYTES_MAX:
                    out.append(_frame(_DATA, 0, request.stream, rest[:_FRAME_BYTES_MAX]))
                    rest = rest[_FRAME_BYTES_MAX:]
                out.append(_frame(_DATA, _END_STREAM, request.stream, rest))
            elif reply.action == "drop":
                out.append(_frame(_RST_STREAM, 0, request.stream, struct.pack(">I", _INTERNAL_ERROR)))
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))
        if any(reply.action == "reset" for _, reply in answers):
            self._transport.abort()
