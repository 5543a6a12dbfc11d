"""What list endpoints share: opaque cursors, page sizes and times in queries and answers."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, overload

from clarion.domain.errors import InvalidField
from clarion.domain.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from clarion.ports.web import Query, Reply

PAGE_QUERIES: Final = (
    Query("after", "Cursor: `next` of the page before"),
    Query("limit", f"Items per page, 1-{PAGE_ITEMS_MAX}", "integer"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_of(query: Mapping[str, str], *sizes: int) -> bytes | None:
    """Return the bytes of `after`, of one of the given sizes. Raises `InvalidField`."""
    text = query.get("after")
    if text is None:
        return None
    try:
        cursor = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        cursor = b""
    if len(cursor) not in sizes:
        raise InvalidField("is not a cursor of this list", field="after")
    return cursor


def limit_of(query: Mapping[str, str]) -> int:
    """Return the number of items asked for. Raises `InvalidField`."""
    text = query.get("limit", str(PAGE_ITEMS_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_ITEMS_MAX):
        raise InvalidField(f"must be a number from 1 to {PAGE_ITEMS_MAX}", field="limit")
    return int(text)


def page(items: list[Any], following: bytes | None) -> Reply:
    """Return a page; `following` is the cursor of the next one, None at the end."""
    cursor = None if following is None else base64.urlsafe_b64encode(following).rstrip(b"=").decode()
    return Reply({"data": items, "next": cursor})


def time_of(query: Mapping[str, str], name: str) -> int | None:
    """Return an RFC 3339 time of a query as Unix milliseconds. Raises `InvalidField`."""
    text = query.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidField("must be an RFC 3339 time with its offset", field=name)
    return (at - _EPOCH) // timedelta(milliseconds=1)


@overload
def shown(at_ms: int) -> datetime: ...
@overload
def shown(at_ms: int | None) -> datetime | None: ...
def shown(at_ms: int | None) -> datetime | None:
    """Return Unix milliseconds as a time in UTC."""
    return None if at_ms is None else _EPOCH + timedelta(milliseconds=at_ms)
