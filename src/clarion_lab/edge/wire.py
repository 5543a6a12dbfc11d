"""Bytes of hostile requests. The tests of the API's connections and the chaos case `edge` send the same ones."""

import ssl
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Final

from clarion.domain.limits import HEAD_BYTES_MAX

GET: Final = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"
DOCS: Final = b"GET /docs HTTP/1.1\r\nhost: a\r\n\r\n"
OPENAPI: Final = b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n"
HEALTH: Final = tuple(b"GET /%s HTTP/1.1\r\nhost: a\r\n\r\n" % name for name in (b"healthz", b"readyz", b"metrics"))
UNSUBSCRIBE: Final = b"POST /v1/unsubscribe/x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n"
"""A request without its body."""
HEAD_FIRST: Final = b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
"""The first lines of a head that does not end."""
CHUNKED: Final = b"POST /v1/receipts/a/b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113, 3.4."""
LARGE_HEAD: Final = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * HEAD_BYTES_MAX + b"\r\n\r\n"
AMBIGUOUS: Final = {
    "two lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
    "a list of lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n",
    "length and encoding": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    "encoding and length": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
    "two encodings": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "encoding in 1.0": b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
    "two credentials": b"GET / HTTP/1.1\r\nhost: a\r\nauthorization: a\r\nAuthorization: b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n",
    "only LF": b"GET / HTTP/1.1\nhost: a\n\n",
    "a bare CR": b"GET / HTTP/1.1\r\nhost: a\rx: b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
    "another authority": b"GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "version 0.9": b"GET /\r\n\r\n",
    "version 0.9, named": b"GET / HTTP/0.9\r\n\r\n",
    "version 2.0": b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
}
"""Requests that two readers could understand differently. Each is refused with 400, and its connection is closed."""


def unverified() -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def tls_hello() -> bytes:
    """Return the first message of a TLS handshake, RFC 8446, 4.1.2."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        unverified().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def receipt(length: int) -> bytes:
    """Return the head of a delivery receipt with a body of this length."""
    return b"POST /v1/receipts/a/b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % length


def many_headers(size: int) -> bytes:
    """Return a request whose head has about this size, in the smallest headers."""
    lines = b"".join(b"x%x:\r\n" % number for number in range(size // 7))
    return HEAD_FIRST + lines[: lines.rfind(b"\r\n", 0, size)] + b"\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame of HTTP/2, RFC 9113, 4.1."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def rapid_resets(number: int) -> bytes:
    """Return the preface and streams of HTTP/2 that are opened and reset at once."""
    fields = b"\x82\x86\x84\x41\x01a"
    pairs = (frame(1, 5, stream, fields) + frame(3, 0, stream, b"\0\0\0\x08") for stream in range(1, 2 * number, 2))
    return HTTP2_PREFACE + frame(4, 0, 0) + b"".join(pairs)


def settings_flood(number: int) -> bytes:
    """Return the preface and settings of HTTP/2, each of which has to be acknowledged."""
    return HTTP2_PREFACE + frame(4, 0, 0) * number


def continuation_flood(number: int) -> bytes:
    """Return the preface and a head of HTTP/2 that does not end."""
    part = b"\x40\x01a\x01b" * 100
    return HTTP2_PREFACE + frame(4, 0, 0) + frame(1, 0, 1, part) + frame(9, 0, 1, part) * number


def posted(path: str, secret: str, body: bytes, content_type: str = "application/json", lacks: int = 0) -> bytes:
    """Return a request with a credential. Its length is `lacks` more than what is sent of its body."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {secret}\r\ncontent-type: {content_type}\r\n"
        f"content-length: {len(body) + lacks}\r\n\r\n"
    )
    return head.encode() + body


def got(target: str, secret: str) -> bytes:
    """Return a request for a path and query, with a credential."""
    return f"GET {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {secret}\r\n\r\n".encode()


def guesses() -> Iterator[bytes]:
    """Yield requests with a new credential each, without an end."""
    for number in count():
        yield got("/v1/users", f"clk_{number:040x}")
