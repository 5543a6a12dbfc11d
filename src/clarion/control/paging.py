"""Pages of the control API: the cursor is the last key seen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from clarion.ports.pages import limit_of, not_a_cursor, page, raw_cursor
from clarion.ports.web import Reply

T = TypeVar("T")

_KEY: Final = msgspec.json.Decoder(list[str])


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
    following = msgspec.json.encode(list(key(shown[-1]))) if len(items) > limit else None
    return page([show(item) for item in shown], following)
