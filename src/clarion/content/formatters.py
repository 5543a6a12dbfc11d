"""The formatters that every template language offers, by one name each: `money`, `format_date`, `plural` and their like."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from clarion.content import wording

_LOCALE: Final = "en"
_ZONE: Final = "UTC"


class Speech(NamedTuple):
    """Whom a message speaks to: a locale, a zone, and when it was made (Unix ms; None when nobody said)."""

    locale: str
    zone: str
    at_ms: int | None

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> "Speech":
        """Return what a render's context says, with English and UTC for what it leaves out."""
        locale, zone, at_ms = (context.get(name) for name in ("_locale", "_zone", "_at_ms"))
        return cls(
            locale if isinstance(locale, str) else _LOCALE,
            zone if isinstance(zone, str) else _ZONE,
            at_ms if isinstance(at_ms, int) else None,
        )


class Formatter(NamedTuple):
    """How a value and further arguments become a text; raises `ValueError`. `arguments` are the fewest and the most there
    may be, `sample` is a value that can always be formatted, `zoned` says whether the zone matters, `timed` the clock."""

    run: Callable[..., str]
    arguments: tuple[int, int]
    sample: Any = 0
    zoned: bool = False
    timed: bool = False


def _money(speech: Speech, value: object, currency: object) -> str:
    return wording.money(value, currency, speech.locale)


def _number(speech: Speech, value: object) -> str:
    return wording.number(value, speech.locale)


def _percent(speech: Speech, value: object) -> str:
    return wording.percent(value, speech.locale)


def _date(speech: Speech, value: object, style: object = "medium") -> str:
    return wording.date(value, style, speech.locale, speech.zone)


def _time(speech: Speech, value: object, style: object = "short") -> str:
    return wording.time(value, style, speech.locale, speech.zone)


def _datetime(speech: Speech, value: object, style: object = "medium") -> str:
    return wording.datetime(value, style, speech.locale, speech.zone)


def _list(speech: Speech, value: object, style: object = "and") -> str:
    return wording.joined(value, style, speech.locale)


def _relative(speech: Speech, value: object, reference: object = None) -> str:
    at_ms = speech.at_ms if reference is None else wording.instant_ms(reference)
    if at_ms is None:
        raise ValueError("there is no time to be relative to")
    return wording.relative(value, at_ms, speech.locale)


def _plural(speech: Speech, value: object, locale: object = None) -> str:
    return wording.plural(value, locale if isinstance(locale, str) else speech.locale)


FORMATTERS: Final[Mapping[str, Formatter]] = {
    "money": Formatter(_money, (2, 2)),
    "format_number": Formatter(_number, (1, 1)),
    "format_percent": Formatter(_percent, (1, 1)),
    "format_date": Formatter(_date, (1, 2), zoned=True),
    "format_time": Formatter(_time, (1, 2), zoned=True),
    "format_datetime": Formatter(_datetime, (1, 2), zoned=True),
    "format_list": Formatter(_list, (1, 2), sample=()),
    "relative_time": Formatter(_relative, (1, 2), timed=True),
    "plural": Formatter(_plural, (1, 2)),
}
"""Formatters by name; `arguments` counts the value too."""
