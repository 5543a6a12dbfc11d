"""The formatters of every template language by name: `money`, `format_date`, `plural` and the like."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from clarion.content import formats

_LOCALE: Final = "en"
_ZONE: Final = "UTC"


class FormatContext(NamedTuple):
    """The context of formatting: a locale, a zone, and when the notification was made (Unix ms; None when unknown)."""

    locale: str
    zone: str
    at_ms: int | None

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> "FormatContext":
        """Return the values of a render's context, with English and UTC as defaults."""
        locale, zone, at_ms = (context.get(name) for name in ("_locale", "_zone", "_at_ms"))
        return cls(
            locale if isinstance(locale, str) else _LOCALE,
            zone if isinstance(zone, str) else _ZONE,
            at_ms if isinstance(at_ms, int) else None,
        )


class Formatter(NamedTuple):
    """A function from a value and further arguments to a text; it raises `ValueError`. `arguments` are the least and
    most arguments, `sample` is a value that can always be formatted, `zoned` is whether the result depends on the zone,
    `timed` whether on the clock."""

    run: Callable[..., str]
    arguments: tuple[int, int]
    sample: Any = 0
    zoned: bool = False
    timed: bool = False


def _money(speech: FormatContext, value: object, currency: object) -> str:
    return formats.money(value, currency, speech.locale)


def _number(speech: FormatContext, value: object) -> str:
    return formats.number(value, speech.locale)


def _percent(speech: FormatContext, value: object) -> str:
    return formats.percent(value, speech.locale)


def _date(speech: FormatContext, value: object, style: object = "medium") -> str:
    return formats.date(value, style, speech.locale, speech.zone)


def _time(speech: FormatContext, value: object, style: object = "short") -> str:
    return formats.time(value, style, speech.locale, speech.zone)


def _datetime(speech: FormatContext, value: object, style: object = "medium") -> str:
    return formats.datetime(value, style, speech.locale, speech.zone)


def _list(speech: FormatContext, value: object, style: object = "and") -> str:
    return formats.joined(value, style, speech.locale)


def _relative(speech: FormatContext, value: object, reference: object = None) -> str:
    at_ms = speech.at_ms if reference is None else formats.instant_ms(reference)
    if at_ms is None:
        raise ValueError("there is no time to be relative to")
    return formats.relative(value, at_ms, speech.locale)


def _plural(speech: FormatContext, value: object, locale: object = None) -> str:
    return formats.plural(value, locale if isinstance(locale, str) else speech.locale)


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
"""Formatters by name; `arguments` includes the value."""
