"""Arguments of formatters: the locale, and values short enough to cache."""

from collections.abc import Callable
from typing import Final

from babel import Locale

from clarion.domain.limits_content import WORDED_TEXT_CHARS_MAX
from clarion.domain.locales import LOCALE_CHARS_MAX, known

_FALLBACK: Final = Locale("en")
_KINDS: Final[dict[type, str]] = {
    type(None): "nothing",
    bool: "true or false",
    dict: "a map",
    list: "a list",
    tuple: "a list",
}
_REFUSALS: Final = (ArithmeticError, AttributeError, LookupError, TypeError)


def locale_of(tag: str) -> Locale:
    """Return the locale of a tag, its nearest parent, or English."""
    return known(tag) or _FALLBACK


def cut(tag: str) -> str:
    """Return the tag of a locale or the name of a zone, cut to the length of the longest valid one, so that caches
    never hold a longer text."""
    return tag[:LOCALE_CHARS_MAX]


def remembered(worded: Callable[..., str], value: object, *how: object) -> str:
    """Return the result of a cached formatter for a value. Raises `ValueError` for any fault of the formatter."""
    if isinstance(value, str) and len(value) > WORDED_TEXT_CHARS_MAX:
        raise ValueError(f"a text of {len(value)} characters is neither number nor date")
    try:
        return worded(value, *how)
    except _REFUSALS as error:
        raise ValueError(f"{shown(value)} cannot be written that way") from error


def shown(value: object) -> str:
    """Return a short form of any value for error texts."""
    if isinstance(value, str):
        return repr(str(value[:WORDED_TEXT_CHARS_MAX]))
    return _KINDS.get(type(value), f"a {type(value).__name__}")
