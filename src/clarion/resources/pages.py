"""Pages of lists: opaque cursors, page sizes, and times, flags and versions in queries. Where a list is in the order of keys, its cursor holds the last key seen."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from clarion.domain.times import stored
from clarion.ports.web import Query, Reply

_KEY: Final = msgspec.json.Decoder(list[str])
VERSION_DIGITS_MAX: Final = 9
PAGE_QUERIES: Final = (
    Query("after", "Cursor: `next` of the previous page"),
    Query("limit", f"Items per page, 1-{PAGE_ITEMS_MAX}", "integer"),
)


T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list. `next` is the `after` of the following page; it is null at the end."""

    data: list[T]
    next: str | None


def cursor_of(query: Mapping[str, str], *sizes: int) -> bytes | None:
    """Return the bytes of `after`, of one of the given sizes. Raises `InvalidField`."""
    cursor = raw_cursor(query)
    if cursor is not None and len(cursor) not in sizes:
        raise not_a_cursor()
    return cursor


def raw_cursor(query: Mapping[str, str]) -> bytes | None:
    """Return the bytes of `after`, of any size. Raises `InvalidField` when it is not a cursor."""
    text = query.get("after")
    if text is None:
        return None
    found = bytes_of(text)
    if found is None:
        raise not_a_cursor()
    return found


def bytes_of(text: str) -> bytes | None:
    """Return the bytes of a cursor's text form; None when it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def not_a_cursor() -> InvalidField:
    """Return the error for an `after` that is not a cursor of this list."""
    return InvalidField("is not a cursor of this list", field="after")


def limit_of(query: Mapping[str, str]) -> int:
    """Return the requested number of items. Raises `InvalidField`."""
    text = query.get("limit", str(PAGE_ITEMS_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_ITEMS_MAX):
        raise InvalidField(f"must be a number from 1 to {PAGE_ITEMS_MAX}", field="limit")
    return int(text)


def page(items: list[Any], following: bytes | None) -> Reply:
    """Return a page; `following` is the cursor of the next one, None at the end."""
    return Reply({"data": items, "next": None if following is None else cursor_text(following)})


def cursor_text(following: bytes) -> str:
    """Return the text form of a cursor."""
    return base64.urlsafe_b64encode(following).rstrip(b"=").decode()


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
    return stored(at)


def flag_of(query: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Return a flag of a query. Raises `InvalidField`."""
    text = query.get(name)
    if text not in (None, "true", "false"):
        raise InvalidField("must be true or false", field=name)
    return default if text is None else text == "true"


def is_version(text: str) -> bool:
    """Return whether a text may be the number of a version."""
    return text.isascii() and text.isdecimal() and len(text) <= VERSION_DIGITS_MAX


def version_of(query: Mapping[str, str], name: str) -> int | None:
    """Return the number of a version in a query, None when it has none. Raises `InvalidField`."""
    text = query.get(name)
    if text is not None and not is_version(text):
        raise InvalidField("must be the number of a version", field=name)
    return None if text is None else int(text)


def page_of(query: Mapping[str, str], keys: int = 1) -> tuple[list[str], int]:
    """Return the key after which to continue (empty strings at the start) and the requested number of items."""
    limit = limit_of(query)
    cursor = raw_cursor(query)
    if cursor is None:
        return [""] * keys, limit
    try:
        values = _KEY.decode(cursor)
    except (ValueError, msgspec.MsgspecError):
        raise not_a_cursor() from None
    if len(values) != keys:
        raise not_a_cursor()
    return values, limit


def page_reply(items: Sequence[T], limit: int, key: Callable[[T], Sequence[str]], show: Callable[[T], Any]) -> Reply:
    """Return a page. `items` has one more item than `limit` when there is another page."""
    shown = items[:limit]
    following = cursor_of_keys(key(shown[-1])) if len(items) > limit else None
    return page([show(item) for item in shown], following)


def cursor_of_keys(keys: Sequence[str]) -> bytes:
    """Return the cursor that continues after the keys of an item."""
    return msgspec.json.encode(list(keys))
