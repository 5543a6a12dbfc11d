"""Responses to requests that are refused before they reach a route."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import msgspec

from clarion.domain.errors import CallerError
from clarion.edge.safe_headers import SAFE

_FIXED: Final = (
    *SAFE,
    (b"content-type", b"application/problem+json"),
    (b"connection", b"close"),
)


def refusal(error: CallerError, headers: Iterable[tuple[bytes, bytes]], *, head: bool = False) -> bytes:
    """Return the whole response, a problem document (RFC 9457), after which the connection is closed. `headers` are
    sent with it. The response to a HEAD request (`head`) has no body."""
    body = msgspec.json.encode(
        {
            "type": f"urn:clarion:{error.code}",
            "title": error.code.replace("_", " "),
            "status": error.status,
            "code": error.code,
            "detail": error.detail,
        }
    )
    lines = [b"HTTP/1.1 %d %s" % (error.status, HTTPStatus(error.status).phrase.encode())]
    lines += [b"%s: %s" % header for header in (*headers, *_FIXED, (b"content-length", b"%d" % len(body)))]
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        lines.append(b"retry-after: %d" % retry_after_s)
    return b"\r\n".join([*lines, b"", b"" if head else body])
