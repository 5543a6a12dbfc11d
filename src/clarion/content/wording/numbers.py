"""Numbers, percentages, money and plural categories in a locale."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

from babel.numbers import format_currency, format_decimal, format_percent, list_currencies

from clarion.content.wording.asked import cut, locale_of, remembered, shown
from clarion.domain.limits_content import WORDED_DECIMALS_MAX, WORDED_MAX, WORDED_NUMBER_MAX

_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_CURRENCIES: Final = frozenset(list_currencies())


def money(value: object, currency: object, locale: str) -> str:
    """Return an amount in the currency's major unit (`12.5` or `"12.50"`, never cents) as the locale writes it, rounded to
    the decimals of the currency (ISO 4217). Raises `ValueError`."""
    return remembered(_money, _plain(value), currency, cut(locale))


def number(value: object, locale: str) -> str:
    """Return a number with the grouping and decimal point of the locale, at most three decimals. Raises `ValueError`."""
    return remembered(_number, _plain(value), cut(locale))


def percent(value: object, locale: str) -> str:
    """Return a share of 1 (`0.25`) as the locale writes a percentage. Raises `ValueError`."""
    return remembered(_percent, _plain(value), cut(locale))


def plural(value: object, locale: str) -> str:
    """Return the CLDR plural category (`zero`, `one`, `two`, `few`, `many`, `other`) of a number. Decimals that are
    written count: `"1.0"` is not `"1"`. Raises `ValueError`."""
    return remembered(_plural, _plain(value), cut(locale))


def decimal_of(value: object) -> Decimal:
    """Return the exact number that an int, a float or a text like `-12.50` stands for, as far as anything worth saying
    has decimals. Raises `ValueError` for what is no number and for what has more digits than that."""
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
    return found if found else abs(found)  # there is no minus zero to speak of


def _plain(value: object) -> object:
    """Return a Decimal as text: unlike texts, equal ones may be written differently."""
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
