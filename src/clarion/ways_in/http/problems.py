"""Errors of the caller as problem documents (RFC 9457)."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.types import Send

from clarion.domain.errors import CallerError, QuotaExceeded, QuotaStatus, RequestLimited, Unauthorized
from clarion.edge.safe_headers import SAFE
from clarion.ways_in.http.rate_limit_fields import rate_limit_fields

_JSON: Final = msgspec.json.Encoder()
_PROBLEM_TYPE: Final = b"application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document; `code` is stable, `field` the path of the offending field."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


async def problem(
    send: Send,
    error: CallerError,
    status: int | None = None,
    extra: Mapping[str, str] | None = None,
    charge: QuotaStatus | None = None,
) -> None:
    """Send an error of the caller as a problem document. `charge` is what the request was charged, if any."""
    code = status or error.status
    document = Problem(
        f"urn:clarion:{error.code}", error.code.replace("_", " "), code, error.code, error.detail, error.field
    )
    raw = _JSON.encode(document)
    headers = [*SAFE, (b"content-type", _PROBLEM_TYPE), (b"content-length", b"%d" % len(raw))]
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    if code == Unauthorized.status:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, RequestLimited) and error.is_anonymous:
        headers.append((b"connection", b"close"))
    headers += rate_limit_fields(*_statuses(error, charge))
    headers += [(name.lower().encode(), value.encode()) for name, value in (extra or {}).items()]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


def _statuses(error: CallerError, charge: QuotaStatus | None) -> tuple[QuotaStatus | None, QuotaStatus | None]:
    """Return the states of the limit on requests and of the quota of events after a refusal."""
    if isinstance(error, RequestLimited):
        return error.request_status, None
    return charge, error.quota_status if isinstance(error, QuotaExceeded) else None
