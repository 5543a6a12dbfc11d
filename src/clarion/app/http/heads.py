"""Which heads of requests are refused, whatever they ask for: those that two readers can understand differently, and
those that are too large (RFC 9110, RFC 9112, RFC 6585)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import httptools

from clarion.domain.errors import CallerError
from clarion.domain.limits import HEADERS_MAX, TARGET_BYTES_MAX

ONCE: Final = frozenset({b"authorization", b"content-length", b"host", b"transfer-encoding"})
"""Headers that a request may have once: two readers of one request could choose different ones."""
_VERSIONS: Final = ("1.0", "1.1")
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+,;=%-]{1,255})(:[0-9]{0,5})?")
"""RFC 9110, section 7.2: a host and an optional port."""
_END: Final = b"\r\n\r\n"
_OF_UPGRADE: Final = (b"upgrade", b"http2-settings")


class RefusedRequest(CallerError):
    """The request is refused before it reaches a route."""

    code = "malformed_request"

    def __init__(self, detail: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.status = status


def cause_of(error: httptools.HttpParserError) -> CallerError:
    """Return the error that a callback of the parser raised, or that the parser refuses what it reads."""
    cause = error.__context__
    return cause if isinstance(cause, CallerError) else RefusedRequest("the request is not valid HTTP")


def head_too_large() -> RefusedRequest:
    """Return the error of a head over its bound."""
    return RefusedRequest("the head of the request is too large", 431, "head_too_large")


def too_many_headers() -> RefusedRequest:
    """Return the error of a head with more than `HEADERS_MAX` headers."""
    return RefusedRequest(f"the request has more than {HEADERS_MAX} headers", 431, "head_too_large")


def target_too_long() -> RefusedRequest:
    """Return the error of a request line over its bound."""
    return RefusedRequest(f"the path and query are longer than {TARGET_BYTES_MAX} bytes", 414, "target_too_long")


def end_of_head(tail: bytes, data: bytes, at: int) -> int:
    """Return the position after the head that begins at a position of the data, or before it with `tail`; the length of
    the data when the head does not end there."""
    if tail:
        found = (tail + data[at : at + len(_END) - 1]).find(_END)
        if found >= 0:
            return at + found + len(_END) - len(tail)
    found = data.find(_END, at)
    return found + len(_END) if found >= 0 else len(data)


def check_head(target: bytes, version: str, once: Mapping[bytes, bytes]) -> None:
    """Raise `RefusedRequest` for a target (path and query) that is too long, and for a version or an
    encoding of the body that is not supported. `once` has the headers named in `ONCE`."""
    if len(target) > TARGET_BYTES_MAX:
        raise target_too_long()
    if version not in _VERSIONS:
        raise RefusedRequest("the version of HTTP is not supported")
    if b"transfer-encoding" in once and (version == "1.0" or once[b"transfer-encoding"].lower() != b"chunked"):
        raise RefusedRequest("the transfer-encoding is not supported")


def check_host(version: str, host: bytes | None) -> None:
    """Raise `RefusedRequest` for a host that is not valid, or that HTTP/1.1 requires and is missing (RFC 9112, section
    3.2)."""
    if host is None:
        if version != "1.0":
            raise RefusedRequest("the request has no Host header")
    elif _HOST.fullmatch(host) is None:
        raise RefusedRequest("the Host header is not valid")


def without_upgrade(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a head without its offer to upgrade the connection, which a server may ignore (RFC 9110, section 7.8). The
    names and values have to come from a parser: they are written as they are."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    for name, value in headers:
        kept: bytes | None = value
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            kept = b", ".join(option for option in options if option.lower() not in _OF_UPGRADE)
        elif name in _OF_UPGRADE:
            kept = None
        if kept:
            lines.append(b"%s: %s" % (name, kept))
        elif kept is not None and name != b"connection":
            lines.append(b"%s:" % name)
    return b"\r\n".join([*lines, b"", b""])
