"""Lists as a phrase of a locale: `a, b, and c`."""

from typing import Final, Literal

from babel.lists import format_list

from clarion.content.formats.asked import cut, locale_of, shown
from clarion.domain.limits_content import WORDED_ITEMS_MAX, WORDED_LIST_CHARS_MAX, WORDED_NUMBER_MAX

_STYLES: Final[dict[object, Literal["standard", "or"]]] = {"and": "standard", "or": "or"}


def joined(items: object, style: object, locale: str) -> str:
    """Return texts and numbers as one phrase; `style` is `and` or `or`. Raises `ValueError` for another style,
    for items that are neither text nor number, and for too many or too long items."""
    if not isinstance(style, str) or style not in _STYLES:
        raise ValueError(f"{shown(style)} is neither 'and' nor 'or'")
    if not isinstance(items, list | tuple):
        raise ValueError(f"{shown(items)} is not a list")
    if len(items) > WORDED_ITEMS_MAX:
        raise ValueError(f"more than {WORDED_ITEMS_MAX} items")
    texts = [_text(item) for item in items]
    if sum(map(len, texts)) > WORDED_LIST_CHARS_MAX:
        raise ValueError(f"the list is longer than {WORDED_LIST_CHARS_MAX} characters")
    return format_list(texts, style=_STYLES[style], locale=locale_of(cut(locale)))


def _text(item: object) -> str:
    if isinstance(item, str):
        return str(item)
    if isinstance(item, bool) or not isinstance(item, int | float) or abs(item) >= WORDED_NUMBER_MAX:
        raise ValueError(f"{shown(item)} is neither text nor number")
    return str(item)
