"""What a formatter is asked for: the locale it speaks, and values that are short enough to be remembered."""

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
    """Return the tag of a locale, or the name of a zone, no longer than any of them is: caches never keep a long one."""
    return tag[:LOCALE_CHARS_MAX]


def remembered(worded: Callable[..., str], value: object, *how: object) -> str:
    """Return what a cached formatter makes of a value; whatever goes wrong there is a `ValueError`."""
    if isinstance(value, str) and len(value) > WORDED_TEXT_CHARS_MAX:
        raise ValueError(f"a text of {len(value)} characters is neither number nor date")
    try:
        return worded(value, *how)
    except _REFUSALS as error:
        raise ValueError(f"{shown(value)} cannot be written that way") from error


def shown(value: object) -> str:
    """Return a value as an error text quotes it: short, and whatever it is."""
    if isinstance(value, str):
        return repr(str(value[:WORDED_TEXT_CHARS_MAX]))
    return _KINDS.get(type(value), f"a {type(value).__name__}")
