"""Which heads of requests are refused, whatever they ask for: those that two readers can understand differently, and
those that are too large (RFC 9110, RFC 9112, RFC 6585)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from clarion.domain.errors import CallerError
from clarion.domain.limits import HEADERS_MAX, TARGET_BYTES_MAX

ONCE: Final = frozenset({b"authorization", b"content-length", b"host", b"transfer-encoding"})
"""Headers that a request may have once: two readers of one request could choose different ones."""
_VERSIONS: Final = ("1.0", "1.1")
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+,;=%-]{1,255})(:[0-9]{0,5})?")
"""RFC 9110, section 7.2: a host and an optional port."""
_LINE_END: Final = b"\r\n"
_SPACE: Final = ord(" ")
_END: Final = _LINE_END * 2
_OF_UPGRADE: Final = (b"upgrade", b"http2-settings")


class RefusedRequest(CallerError):
    """The request is refused before it reaches a route."""

    code = "malformed_request"

    def __init__(self, detail: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.status = status


def cause_of(error: Exception) -> CallerError:
    """Return an error of the caller itself, the one that a callback of the parser raised, or that the parser refuses what
    it reads."""
    cause = error if isinstance(error, CallerError) else error.__context__
    return cause if isinstance(cause, CallerError) else RefusedRequest("the request is not valid HTTP")


def head_too_large() -> RefusedRequest:
    """Return the error of a head over its bound."""
    return RefusedRequest("the head of the request is too large", 431, "head_too_large")


def too_many_headers() -> RefusedRequest:
    """Return the error of a head with more than `HEADERS_MAX` headers."""
    return RefusedRequest(f"the request has more than {HEADERS_MAX} headers", 431, "head_too_large")


def too_large(target: bytes) -> RefusedRequest:
    """Return the error of a head over its bound, which may be that of its path and query."""
    return target_too_long() if len(target) > TARGET_BYTES_MAX else head_too_large()


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


def line_goes_on(tail: bytes, part: bytes) -> bool:
    """Return whether a request line does not end in a part of a head, which the parts before left off with `tail`.
    Raises `RefusedRequest` for two spaces in a row (RFC 9112, section 3), which the parser permits."""
    data = tail + part
    if data[0] < _SPACE:
        data = data.lstrip(_LINE_END)  # empty lines before a request are permitted (section 2.2)
    end = data.find(_LINE_END)
    if data.find(b"  ", 0, len(data) if end < 0 else end) >= 0:
        raise RefusedRequest("the request line has two spaces in a row")
    return end < 0


def check_head(target: bytes, version: str, once: Mapping[bytes, bytes], scheme: str) -> None:
    """Raise `RefusedRequest` for a target (path and query) that is too long, or that names another scheme than the
    connection's or another host than the `Host` header; and for a version or an encoding of the body that is not
    supported. `once` has the headers named in `ONCE`."""
    if len(target) > TARGET_BYTES_MAX:
        raise target_too_long()
    if not target.startswith((b"/", b"*")):
        _check_absolute(target, once.get(b"host"), scheme)
    if version not in _VERSIONS:
        raise RefusedRequest("the version of HTTP is not supported")
    if b"transfer-encoding" in once and (version == "1.0" or once[b"transfer-encoding"].lower() != b"chunked"):
        raise RefusedRequest("the transfer-encoding is not supported")


def _check_absolute(target: bytes, host: bytes | None, scheme: str) -> None:
    """Refuse a target in absolute form (RFC 9112, section 3.2.2) that does not repeat what is known."""
    named, _, rest = target.partition(b"://")
    authority = rest.partition(b"/")[0]
    if named.lower() != scheme.encode() or (host is not None and authority.lower() != host.lower()):
        raise RefusedRequest("the target names another scheme or host than the connection and the Host header")


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
