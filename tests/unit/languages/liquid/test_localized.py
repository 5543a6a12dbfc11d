"""The formatters as Liquid filters: in the locale and zone of the render, whatever the template assigns."""

from datetime import UTC, datetime

import pytest

from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.renderer import RenderError

RENDERER = LiquidRenderer()
NBSP = "\N{NO-BREAK SPACE}"
AT_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def render(source, *, html=False, locale="en", zone="UTC", **data):
    context = {**data, "data": data, "user": {}, "_locale": locale, "_zone": zone, "_at_ms": AT_MS}
    return RENDERER.compile(source, html=html)(context)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 1234.5 | money: 'EUR' }}", f"1.234,50{NBSP}€"),
        ("{{ x | money: c }}", f"1.999{NBSP}¥"),
        ("{{ 1234567.891 | format_number }}", "1.234.567,891"),
        ("{{ 0.25 | format_percent }}", f"25{NBSP}%"),
        ("{{ t | format_date: 'long' }}", "28. Februar 2026"),
        ("{{ t | format_date }}", "28.02.2026"),
        ("{{ t | format_date: 'EEEE' }}", "Samstag"),
        ("{{ t | format_time }}", "23:30"),
        ("{{ t | format_datetime: 'short' }}", "28.02.26, 23:30"),
        ("{{ l | format_list }}", "a, 2 und c"),
        ("{{ l | format_list: 'or' }}", "a, 2 oder c"),
        ("{{ t | relative_time }}", "vor 8 Stunden"),
        ("{{ t | relative_time: '2026-03-02T04:30:00Z' }}", "vor 1 Tag"),
        ("{{ 1 | plural }}/{{ 3 | plural: 'pl' }}", "one/few"),
        ("{% assign _locale = 'fr' %}{{ 0.5 | format_percent }}", f"50{NBSP}%"),
        ("{% assign total = x | times: 2 | money: 'JPY' %}{{ total | append: '!' }}", f"3.998{NBSP}¥!"),
    ],
)
def test_the_words_of_the_readers_locale_and_zone(source, text):
    data = {"x": 1999, "c": "JPY", "t": "2026-03-01T04:30:00Z", "l": ["a", 2, "c"]}
    assert render(source, locale="de", zone="America/New_York", **data) == text


def test_english_and_utc_are_the_defaults_of_a_render():
    render = RENDERER.compile("{{ 0 | format_datetime: 'yyyy-MM-dd HH:mm' }} {{ 1234.5 | format_number }}", html=False)
    assert render({"data": {}, "user": {}}) == "1970-01-01 00:00 1,234.5"
    with pytest.raises(RenderError, match="no time to be relative to"):
        RENDERER.compile("{{ 0 | relative_time }}", html=False)({"data": {}, "user": {}})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("\n{{ x | money: 'EUR' }}", r"money: 'abc' is not a number \(line 2\)"),
        ("{{ nil | money: 'EUR' }}", r"money: nothing is not a number"),
        ("{{ 1 | money: x }}", "'abc' is not a currency"),
        ("{{ x | format_date: 'long' }}", "'abc' is neither an ISO 8601 text"),
        ("{{ m | format_number }}", "a map cannot be written that way"),
        ("{{ big | format_number }}", "too large"),
        ("{{ x | format_list }}", "'abc' is not a list"),
        ("{{ missing.deeply | money: 'EUR' }}", "'missing' is undefined"),
    ],
)
def test_an_unformattable_value_is_an_error_of_this_render(source, words):
    with pytest.raises(RenderError, match=words):
        render(source, x="abc", m={}, big=10**30)


def test_formatted_values_are_escaped_in_html_too():
    assert render("{{ l | format_list }}", html=True, l=["<b>", "&"]) == "&lt;b&gt; and &amp;"
    assert render("{{ t | format_date: \"'<b>'yyyy\" }}", html=True, t=0) == "&lt;b&gt;1970"
    assert render("{{ 1234 | format_number }}", html=True, locale="de-CH") == "1’234"


def test_the_date_filter_of_liquid_works_beside_them():
    now = datetime(2026, 11, 21, 10, tzinfo=UTC).isoformat()
    assert render("{{ t | date: '%d %b %Y' }}", t=now, zone="Asia/Kathmandu") == "21 Nov 2026"
