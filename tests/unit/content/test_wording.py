"""Numbers, money, dates and lists in a locale: the words of the CLDR, and `ValueError` for values that have none."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta, get_time_format
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, format_percent
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.content import formats

NBSP = "\N{NO-BREAK SPACE}"
LOCALES = ["en", "en-GB", "de", "de-CH", "es", "pt-BR", "fr", "ar", "he", "ja", "zh-Hant-TW", "pl", "hi"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"]
STYLES = ["short", "medium", "long", "full"]

locales = st.sampled_from(LOCALES)
zones = st.sampled_from(ZONES)
amounts = (
    st.integers(-(10**17), 10**17)
    | st.decimals(-(10**12), 10**12, places=2).map(str)
    | st.floats(-1e12, 1e12).map(lambda value: round(value, 6))
)
moments = st.integers(-2_000_000_000, 20_000_000_000)
anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals()
    | st.datetimes() | st.lists(st.integers() | st.text()) | st.dictionaries(st.text(), st.text())
    | st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{1,40})?") | st.sampled_from(["2026-02-30", "9999-12-31T23:59:59-14:00", "0001-01-01"])
)  # fmt: skip
CALLS = {
    "money": lambda value, other, locale, zone: formats.money(value, other, locale),
    "money of EUR": lambda value, other, locale, zone: formats.money(value, "EUR", locale),
    "number": lambda value, other, locale, zone: formats.number(value, locale),
    "percent": lambda value, other, locale, zone: formats.percent(value, locale),
    "plural": lambda value, other, locale, zone: formats.plural(value, locale),
    "date": lambda value, other, locale, zone: formats.date(value, other, locale, zone),
    "long date": lambda value, other, locale, zone: formats.date(value, "long", locale, zone),
    "time": lambda value, other, locale, zone: formats.time(value, other, locale, zone),
    "full time": lambda value, other, locale, zone: formats.time(value, "full", locale, zone),
    "datetime": lambda value, other, locale, zone: formats.datetime(value, other, locale, zone),
    "full datetime": lambda value, other, locale, zone: formats.datetime(value, "full", locale, zone),
    "date of a pattern": lambda value, other, locale, zone: formats.date(1_700_000_000, other, locale, zone),
    "joined": lambda value, other, locale, zone: formats.joined(value, other, locale),
    "joined and": lambda value, other, locale, zone: formats.joined(value, "and", locale),
    "relative": lambda value, other, locale, zone: formats.relative(value, 1_700_000_000_000, locale),
    "instant": lambda value, other, locale, zone: str(formats.instant_ms(value)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@given(value=anything, other=anything, locale=locales | st.text(), zone=zones | st.text())
def test_nothing_but_value_errors_with_a_short_text(call, value, other, locale, zone):
    try:
        text = call(value, other, locale, zone)
    except ValueError as error:
        assert 0 < len(str(error)) < 300
    else:
        assert type(text) is str


@given(value=amounts, currency=st.sampled_from(["EUR", "usd", "JPY", "BHD", "CLF"]), locale=locales)
def test_money_numbers_and_percentages_are_those_of_the_cldr(value, currency, locale):
    exact, known = Decimal(str(value)), Locale.parse(locale, sep="-")
    exact = exact if exact else abs(exact)
    assert formats.money(value, currency, locale) == format_currency(exact, currency.upper(), locale=known)
    assert formats.number(value, locale) == format_decimal(exact, locale=known)
    assert formats.percent(value, locale) == format_percent(exact, locale=known)
    assert formats.plural(value, locale) == known.plural_form(exact)


@example(value=2_204_150_400, style="long", locale="en", zone="America/New_York")
@given(value=moments, style=st.sampled_from(STYLES), locale=locales, zone=zones)
def test_dates_and_times_are_those_of_the_cldr(value, style, locale, zone):
    at, known, tz = datetime.fromtimestamp(value, UTC), Locale.parse(locale, sep="-"), ZoneInfo(zone)
    for spelled in (value, str(value), float(value), at.isoformat(), at.replace(tzinfo=None).isoformat()):
        assert formats.date(spelled, style, locale, zone) == format_date(at.astimezone(tz), style, known)
        pattern = get_time_format(style, known).pattern
        assert formats.time(spelled, style, locale, zone) == format_datetime(at, pattern, tz, known)
        assert formats.datetime(spelled, style, locale, zone) == format_datetime(at, style, tz, known)
    reference = value - 86_400 * 3
    assert formats.relative(value, reference * 1000, locale) == format_timedelta(
        86_400 * 3, add_direction=True, locale=known
    )


@given(items=st.lists(st.text(max_size=20), max_size=12), locale=locales)
def test_lists_are_those_of_the_cldr(items, locale):
    known = Locale.parse(locale, sep="-")
    for style, cldr in (("and", "standard"), ("or", "or")):
        assert formats.joined(items, style, locale) == format_list(items, cldr, known)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (formats.money(1234.5, "EUR", "de"), f"1.234,50{NBSP}€"),
        (formats.money("0.125", "USD", "en"), "$0.12"),
        (formats.money(1999, "JPY", "en"), "¥1,999"),
        (formats.money(-0.0, "EUR", "en"), "€0.00"),
        (formats.number(1234567.891, "en"), "1,234,567.891"),
        (formats.percent(0.25, "de"), f"25{NBSP}%"),
        (formats.plural(1, "en"), "one"),
        (formats.plural("1.0", "en"), "other"),
        (formats.plural(3, "pl"), "few"),
        (formats.date("2026-03-01", "long", "es", "America/New_York"), "1 de marzo de 2026"),
        (formats.date("2026-03-01T02:00:00Z", "long", "en", "America/New_York"), "February 28, 2026"),
        (formats.date("2026-03-01", "EEEE d MMM, 'at' HH:mm", "en", "UTC"), "Sunday 1 Mar, at 00:00"),
        (formats.time("2026-03-01T12:30:00Z", "short", "de", "Europe/Berlin"), "13:30"),
        (formats.time("2025-11-02T20:00:00-05:00", "long", "de", "America/New_York"), "20:00:00 -0500"),
        (formats.joined(["a", 2, "c"], "and", "en"), "a, 2, and c"),
        (formats.joined([], "and", "en"), ""),
        (formats.relative(1_000_000, 1_000_000_000 + 3 * 3600 * 1000, "de"), "vor 3 Stunden"),
    ],
)
def test_words(text, words):
    assert text == words


def test_an_unknown_locale_or_zone_has_a_default():
    assert formats.number(1234.5, "de-XX") == formats.number(1234.5, "de")
    assert formats.number(1234.5, "no-such-locale-at-all-" * 9) == formats.number(1234.5, "no")
    assert formats.number(1234.5, "!!") == formats.number(1234.5, "en")
    assert formats.time(0, "short", "de", "Mars/Olympus") == "00:00"


@pytest.mark.parametrize(
    "call",
    [
        lambda: formats.money(5, "XQQ", "en"),
        lambda: formats.money(5, None, "en"),
        lambda: formats.money(True, "EUR", "en"),
        lambda: formats.money(10**400, "EUR", "en"),
        lambda: formats.money("9" * 100_000, "EUR", "en"),
        lambda: formats.money("NaN", "EUR", "en"),
        lambda: formats.number(float("inf"), "en"),
        lambda: formats.number("1e5", "en"),
        lambda: formats.number("\N{ARABIC-INDIC DIGIT ONE}", "en"),
        lambda: formats.date("tomorrow", "long", "en", "UTC"),
        lambda: formats.date(10**30, "long", "en", "UTC"),
        lambda: formats.date(0, "lnog", "en", "UTC"),
        lambda: formats.date(0, "y" * 10_000, "en", "UTC"),
        lambda: formats.date(0, "", "en", "UTC"),
        lambda: formats.date(-62135596800, "long", "en", "America/New_York"),
        lambda: formats.joined(["x"] * 10_000, "and", "en"),
        lambda: formats.joined(["x" * 100_000], "and", "en"),
        lambda: formats.joined([["x"]], "and", "en"),
        lambda: formats.joined("abc", "and", "en"),
        lambda: formats.joined(["a"], "nor", "en"),
    ],
)
def test_values_that_cannot_be_formatted_are_refused(call):
    with pytest.raises(ValueError, match=r"."):
        call()
