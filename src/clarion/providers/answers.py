"""Outcomes of HTTP responses for which a vendor's own table has no row, and functions that parse untrusted
responses."""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted, Misconfigured, Outcome, Refused, Throttled, Transient

_AFTER_MS_MAX: Final = 24 * 3600 * 1000
_DETAIL_BYTES: Final = 4 * ATTEMPT_DETAIL_CHARS_MAX


def retry_after_ms(headers: Mapping[str, str], now_ms: int | None) -> int | None:
    """Return the pause of a `Retry-After` header, seconds or HTTP date (RFC 9110 10.2.3), at most a day.

    A date needs `now_ms`; None is returned without a header or with one that cannot be read.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, _AFTER_MS_MAX)
    if not text or now_ms is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date without a zone is read as UTC, the only zone HTTP dates have.
    due_ms = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    return min(max(due_ms - now_ms, 0), _AFTER_MS_MAX)


def object_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, or an empty one when it is anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def error_detail(response: HttpResponse, words: str = "") -> str:
    """Return `HTTP <status>: <the provider's own text>` as one bounded line."""
    text = words or response.body[:_DETAIL_BYTES].decode("utf-8", "replace")
    line = " ".join(text.split())
    return f"HTTP {response.status}: {line}"[:ATTEMPT_DETAIL_CHARS_MAX] if line else f"HTTP {response.status}"


def by_status(response: HttpResponse, now_ms: int, words: str = "") -> Outcome:
    """Return the outcome of a status with any provider: 2xx is accepted, 401/403 misconfigured, 408/425/5xx transient,
    429 throttled, and any other refused."""
    status, detail = response.status, error_detail(response, words)
    if 200 <= status < 300:
        return Accepted()
    if status == 429:
        return Throttled(retry_after_ms(response.headers, now_ms), detail)
    if status in (408, 425) or status >= 500:
        return Transient(detail, retry_after_ms(response.headers, now_ms))
    if status in (401, 403):
        return Misconfigured(detail)
    return Refused(f"http_{status}", detail)


def unusable(response: HttpResponse, words: str = "") -> Misconfigured | None:
    """Return the outcome of a live check that was refused: 401, 403, or 404 for a resource that the account names. None
    for any other status."""
    return Misconfigured(error_detail(response, words)) if response.status in (401, 403, 404) else None
