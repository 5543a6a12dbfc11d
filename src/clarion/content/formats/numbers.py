"""Numbers, percentages, money and plural categories in a locale."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

from babel.numbers import format_currency, format_decimal, format_percent, list_currencies

from clarion.content.formats.asked import cut, locale_of, remembered, shown
from clarion.domain.limits_content import WORDED_DECIMALS_MAX, WORDED_MAX, WORDED_NUMBER_MAX

_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_CURRENCIES: Final = frozenset(list_currencies())


def money(value: object, currency: object, locale: str) -> str:
    """Return an amount in the currency's major unit (`12.5` or `"12.50"`, never cents) in the locale's format, rounded
    to the decimals of the currency (ISO 4217). Raises `ValueError`."""
    return remembered(_money, _plain(value), currency, cut(locale))


def number(value: object, locale: str) -> str:
    """Return a number with the grouping and decimal point of the locale, at most three decimals. Raises `ValueError`."""
    return remembered(_number, _plain(value), cut(locale))


def percent(value: object, locale: str) -> str:
    """Return a fraction of 1 (`0.25`) as a percentage in the locale's format. Raises `ValueError`."""
    return remembered(_percent, _plain(value), cut(locale))


def plural(value: object, locale: str) -> str:
    """Return the CLDR plural category (`zero`, `one`, `two`, `few`, `many`, `other`) of a number. Written decimals
    count: `"1.0"` is not `"1"`. Raises `ValueError`."""
    return remembered(_plural, _plain(value), cut(locale))


def decimal_of(value: object) -> Decimal:
    """Return the exact value of an int, a float or a text such as `-12.50`, with a bounded number of decimals. Raises
    `ValueError` for a value that is not a number, and for one with too many digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{shown(value)} is not a number")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError(f"{shown(value)} is not a number")
    if isinstance(value, int) and abs(value) >= WORDED_NUMBER_MAX:
        raise ValueError("the number is too large")
    found = Decimal(repr(value) if isinstance(value, float) else value)
    if not found.is_finite() or abs(found) >= WORDED_NUMBER_MAX:
        raise ValueError("the number is too large")
    exponent = found.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -WORDED_DECIMALS_MAX:
        found = round(found, WORDED_DECIMALS_MAX)
    return found if found else abs(found)  # minus zero is zero


def _plain(value: object) -> object:
    """Return a Decimal as text: as cache keys, texts distinguish equal Decimals that are written differently."""
    return f"{value:f}" if isinstance(value, Decimal) and abs(value.adjusted()) < WORDED_DECIMALS_MAX else value


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _money(value: object, currency: object, locale: str) -> str:
    code = str(currency).upper() if isinstance(currency, str) else ""
    if code not in _CURRENCIES:
        raise ValueError(f"{shown(currency)} is not a currency")
    return format_currency(decimal_of(value), code, locale=locale_of(locale))


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _number(value: object, locale: str) -> str:
    return format_decimal(decimal_of(value), locale=locale_of(locale))


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _percent(value: object, locale: str) -> str:
    return format_percent(decimal_of(value), locale=locale_of(locale))


@lru_cache(maxsize=WORDED_MAX, typed=True)
def _plural(value: object, locale: str) -> str:
    return locale_of(locale).plural_form(decimal_of(value))
