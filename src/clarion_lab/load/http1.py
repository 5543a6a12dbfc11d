"""The cheapest HTTP/1.1 client that is correct with Clarion's own server: keep-alive, one request at a time.

It parses responses with a `content-length` only (RFC 9112 6.3); anything unexpected is a `WireError`, so that a load
run never counts a response that it could not parse. A general client costs several times as much CPU, and the load
generator shares the machine with the processes that it measures.
"""

import asyncio
import ssl
from typing import Final, cast

import msgspec

HEAD_BYTES_MAX: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"


class WireError(Exception):
    """The connection broke or the response cannot be parsed. `sent` is whether the request may have been accepted."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. `retry_after_s` is the `Retry-After` header in seconds, None without one."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class AnswerParser:
    """Splits a byte stream into responses; `feed` takes pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Answer | None:
        """Return the response that these bytes complete, or None. Raises `WireError` when it cannot be parsed."""
        buffer = self._buffer
        buffer += data
        end = buffer.find(_HEAD_END)
        if end < 0:
            if len(buffer) > HEAD_BYTES_MAX:
                raise WireError("answer head is too long", sent=True)
            return None
        head = bytes(buffer[:end])
        length = _length(head)
        total = end + len(_HEAD_END) + length
        if len(buffer) < total:
            return None
        body = bytes(buffer[total - length : total])
        del buffer[:total]
        if buffer:
            raise WireError("more bytes than the answer announced", sent=True)
        return Answer(int(head[9:12]), body, _retry_after(head))


def _header(head: bytes, name: bytes) -> bytes | None:
    lowered = head.lower()
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


def _length(head: bytes) -> int:
    if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
        raise WireError("not an HTTP/1.1 answer", sent=True)
    if head[9:12] in (b"204", b"304"):
        return 0
    value = _header(head, b"content-length")
    if value is None or not value.isdigit():
        raise WireError("answer has no content-length", sent=True)
    return int(value)


def _retry_after(head: bytes) -> float | None:
    value = _header(head, b"retry-after")
    return float(value) if value is not None and value.isdigit() else None


def request_bytes(
    method: str,
    path: str,
    host: str,
    secret: str,
    body: bytes,
    *,
    extra: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> bytes:
    """Return the bytes of a whole request. `secret` is the API key; `extra` are additional headers."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    if body:
        lines.append(f"content-type: {content_type}")
    if secret:
        lines.append(f"authorization: Bearer {secret}")
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return "\r\n".join(lines).encode() + _HEAD_END + body


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = AnswerParser()
        self._waiting: asyncio.Future[Answer] | None = None

    @property
    def open(self) -> bool:
        """Return whether another request can be written."""
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, raw: bytes) -> Answer:
        """Write a request and return its response. Raises `WireError` when none could be read."""
        if self._transport is None or self._transport.is_closing():
            raise WireError("not connected", sent=False)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._waiting

    def close(self) -> None:
        """Close the connection; a request under way fails."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class inherits nothing

    def data_received(self, data: bytes) -> None:
        """Pass a complete response to the waiter."""
        try:
            answer = self._parser.feed(data)
        except WireError as error:
            self._fail(error)
            self.close()
            return
        if answer is None:
            return
        if self._waiting is None or self._waiting.done():
            self.close()
            return
        self._waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way: it may have been accepted."""
        self._transport = None
        self._fail(WireError(str(exc or "closed by the peer"), sent=True))

    def _fail(self, error: WireError) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


async def connect(host: str, port: int, tls: ssl.SSLContext | None = None, address: str = "") -> Connection:
    """Open a connection, with TLS where a context is given, and from an own `address` if given. Raises `WireError` when
    that fails."""
    own = (address, 0) if address else None
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection, host, port, ssl=tls, local_addr=own
        )
    except OSError as error:
        raise WireError(str(error), sent=False) from error
    return connection
