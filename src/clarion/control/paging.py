"""Pages of the control API: `after` is an opaque cursor over the last key seen, `limit` at most `PAGE_ITEMS_MAX`."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from clarion.ports.web import Query, Reply

T = TypeVar("T")

QUERIES: Final = (
    Query("after", "Cursor: `next` of the page before"),
    Query("limit", f"Items per page, 1-{PAGE_ITEMS_MAX}", "integer"),
)
_CURSOR: Final = msgspec.json.Decoder(list[str])


def page_of(query: Mapping[str, str], keys: int = 1) -> tuple[list[str], int]:
    """Return the key to go on after (empty strings at the start) and the number of items asked for."""
    return _after(query.get("after"), keys), _limit(query.get("limit"))


def page_reply(items: Sequence[T], limit: int, key: Callable[[T], Sequence[str]], show: Callable[[T], Any]) -> Reply:
    """Return a page. `items` holds one more than `limit` when there is another page."""
    shown = items[:limit]
    following = None
    if len(items) > limit:
        following = base64.urlsafe_b64encode(msgspec.json.encode(list(key(shown[-1])))).rstrip(b"=").decode()
    return Reply({"data": [show(item) for item in shown], "next": following})


def _after(text: str | None, keys: int) -> list[str]:
    if text is None:
        return [""] * keys
    try:
        values = _CURSOR.decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        values = []
    if len(values) != keys:
        raise InvalidField("is not a cursor of this list", field="after")
    return values


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_ITEMS_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_ITEMS_MAX):
        raise InvalidField(f"must be a number from 1 to {PAGE_ITEMS_MAX}", field="limit")
    return int(text)
