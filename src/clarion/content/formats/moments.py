"""Dates, times and relative times in a locale and a zone."""

import datetime as dt
import re
from functools import lru_cache
from typing import Final, Literal, cast, get_args

from babel.dates import PATTERN_CHARS, format_date, format_datetime, format_timedelta, get_time_format

from clarion.content.formats.asked import cut, locale_of, remembered, shown
from clarion.domain.limits_content import WORDED_MAX, WORDED_TEXT_CHARS_MAX
from clarion.domain.localtime import zone_of

_SECOND_MS: Final = 1_000
_Style = Literal["short", "medium", "long", "full"]
_STYLES: Final = frozenset(get_args(_Style))
_UNIX_SECONDS: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_QUOTED: Final = re.compile(r"'[^']*'")
_LETTER: Final = re.compile(r"[A-Za-z]")
_LETTERS: Final = set(PATTERN_CHARS)


def date(value: object, style: object, locale: str, zone: str) -> str:
    """Return the day of a moment in the zone. A moment is an ISO 8601 text (UTC when it has no offset) or Unix seconds;
    a text with a date only is that date in every zone. `style` is `short`, `medium`, `long`, `full` or a CLDR pattern
    such as `EEEE d MMMM`. Raises `ValueError`."""
    return remembered(_date, value, style, cut(locale), cut(zone))


def time(value: object, style: object, locale: str, zone: str) -> str:
    """Return the time of day of a moment in the zone; arguments as for `date`. Raises `ValueError`."""
    return remembered(_time, value, style, cut(locale), cut(zone))


def datetime(value: object, style: object, locale: str, zone: str) -> str:
    """Return day and time of a moment in the zone; arguments as for `date`. Raises `ValueError`."""
    return remembered(_datetime, value, style, cut(locale), cut(zone))


def relative(value: object, reference_ms: int, locale: str) -> str:
    """Return the distance of a moment from a reference (Unix ms): `3 hours ago`, `in 2 days`. Raises `ValueError`."""
    return _relative((instant_ms(value) - reference_ms) // _SECOND_MS, cut(locale))


def instant_ms(value: object) -> int:
    """Return a moment as Unix ms; a day begins at midnight UTC. Raises `ValueError`."""
    if isinstance(value, str) and len(value) > WORDED_TEXT_CHARS_MAX:
        raise ValueError(f"a text of {len(value)} characters is not a moment")
    return round(_moment(value, dt.UTC).timestamp() * _SECOND_MS)


def _moment(value: object, zone: dt.tzinfo) -> dt.datetime:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{shown(value)} is not a moment")
    try:
        if isinstance(value, str) and not _UNIX_SECONDS.fullmatch(value):
            moment = dt.datetime.fromisoformat(value)
            if _DAY.fullmatch(value):
                return moment.replace(tzinfo=zone)
            return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(zone)
        return dt.datetime.fromtimestamp(float(value), dt.UTC).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{shown(value)} is neither an ISO 8601 text nor Unix seconds") from None


def _style(style: object) -> str:
    """Return a validated style. Raises `ValueError` for a pattern that is too long or has unknown letters."""
    if not isinstance(style, str) or not 0 < len(style) <= WORDED_TEXT_CHARS_MAX:
        raise ValueError(f"{shown(style)} is not a style of dates")
    if style not in _STYLES and not set(_LETTER.findall(_QUOTED.sub("", style))) <= _LETTERS:
        raise ValueError(f"{shown(style)} is neither short, medium, long or full nor a CLDR pattern")
    return style


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _date(value: object, style: object, locale: str, zone: str) -> str:
    moment = _moment(value, zone_of(zone))
    if _style(style) in _STYLES:
        return format_date(moment, str(style), locale_of(locale))
    return format_datetime(moment, str(style), locale=locale_of(locale))


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _time(value: object, style: object, locale: str, zone: str) -> str:
    moment, known = _moment(value, zone_of(zone)), locale_of(locale)
    if _style(style) in _STYLES:
        # Not `format_time`: it derives the zone's name from the date, which is wrong on the day of a clock change.
        return get_time_format(cast(_Style, str(style)), known).apply(moment, known)
    return format_datetime(moment, str(style), locale=known)


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _datetime(value: object, style: object, locale: str, zone: str) -> str:
    return format_datetime(_moment(value, zone_of(zone)), _style(style), locale=locale_of(locale))


@lru_cache(maxsize=WORDED_MAX)
def _relative(seconds: int, locale: str) -> str:
    return format_timedelta(seconds, add_direction=True, locale=locale_of(locale))
