"""Locale tags (BCP 47: `pt-BR`), and the choice of the best available locale for a user."""

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError

from clarion.domain.errors import InvalidField

LOCALE_CHARS_MAX: Final = 35
LOCALES_KNOWN_MAX: Final = 1_024
"""How many parsed locales a process caches."""
_RIGHT_TO_LEFT: Final = "right-to-left"


@lru_cache(maxsize=LOCALES_KNOWN_MAX)
def known(tag: str) -> Locale | None:
    """Return the CLDR data of a locale, or of its nearest parent that has any; None when the tag is not a locale."""
    for candidate in chain(tag):
        try:
            return Locale.parse(candidate, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return None


def chain(tag: str) -> Iterator[str]:
    """Yield a tag and then its parents: `zh-Hant-TW`, `zh-Hant`, `zh`."""
    rest = tag.replace("_", "-")[:LOCALE_CHARS_MAX]
    while rest:
        yield rest
        rest = rest.rpartition("-")[0]


def canonical(tag: str, field: str) -> str:
    """Return a tag in its usual spelling (`pt-BR`). Raises `InvalidField` for a locale that does not exist."""
    if len(tag) <= LOCALE_CHARS_MAX:
        try:
            return str(Locale.parse(tag.replace("_", "-"), sep="-")).replace("_", "-")
        except (ValueError, UnknownLocaleError):
            pass
    raise InvalidField(f"no such locale: {tag[:LOCALE_CHARS_MAX]}", field=field, code="unknown_locale")


def check_language(tag: str, field: str) -> None:
    """Raise `InvalidField` when a user's locale is not empty and its language does not exist. An unknown region
    (`en-XX`) is harmless and accepted."""
    if tag and (len(tag) > LOCALE_CHARS_MAX or known(tag) is None):
        raise InvalidField(f"no such locale: {tag[:LOCALE_CHARS_MAX]}", field=field, code="unknown_locale")


def best(wanted: str, available: Collection[str], *fallbacks: str) -> str | None:
    """Return the first of these that is available: the wanted locale, its parents, and then each fallback with its parents
    (`pt-BR -> pt -> tenant default`)."""
    for tag in (wanted, *fallbacks):
        for candidate in _nearest(tag):
            if candidate in available:
                return candidate
    return None


@lru_cache(maxsize=LOCALES_KNOWN_MAX)
def _nearest(tag: str) -> tuple[str, ...]:
    """Return a tag, its full form (`zh-Hant-TW` for `zh-TW`) with the parents of that, then its own parents."""
    full = known(tag)
    parents = () if full is None else chain(str(full))
    return tuple(dict.fromkeys((tag.replace("_", "-"), *parents, *chain(tag))))


def spoken(wanted: str, content: str) -> str:
    """Return the locale for dates, numbers and money: the wanted one if it is of the content's language (`en-GB` for
    `en`), else the content's, so that one message never mixes two languages."""
    same = wanted.replace("_", "-").partition("-")[0].lower() == content.partition("-")[0].lower()
    return wanted if same and known(wanted) is not None else content


def is_right_to_left(tag: str) -> bool:
    """Return whether a locale is written from right to left."""
    locale = known(tag)
    return locale is not None and locale.character_order == _RIGHT_TO_LEFT
