"""Mailgun's forms for any text, and the account settings that can be part of a URL."""

import re
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.message import HttpResponse
from clarion.providers.email import mailgun
from tests.providers import battery

TABLE = battery.tables()["email_mailgun"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def fields(**changes):
    return dict(parse_qsl(battery.build(mailgun, TABLE, **changes).body.decode("ascii"), keep_blank_values=True))


@given(text=TEXT, html=TEXT)
def test_any_text_is_read_back_from_the_form(text, html):
    form = fields(parts={"subject": "s", "text": text, "html": html})
    assert (form["text"], form["html"]) == (text, html)


def test_only_what_there_is_goes_out():
    table = {**TABLE, "account": {**TABLE["account"], "settings": {"domain": "d.example", "from_email": "a@d.example"}}}
    request = battery.build(mailgun, table, parts={"subject": "", "text": "t"}, metadata={})
    assert parse_qsl(request.body.decode(), keep_blank_values=True) == [
        ("from", "a@d.example"),
        ("to", "ada@example.org"),
        ("subject", ""),
        ("text", "t"),
        ("v:delivery_id", battery.DELIVERY),
    ]


def test_names_in_any_script_go_out_as_they_are():
    form = fields(parts={"subject": "Grüße 🎉", "text": "t", "from_name": "Läden, \\ GmbH"})
    assert (form["subject"], form["from"]) == ("Grüße 🎉", '"Läden, \\\\ GmbH" <news@shop.example>')


def test_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(mailgun, "MESSAGE", msgspec.structs.replace(mailgun.MESSAGE, most=5))
    assert fields(parts={"subject": "s", "text": "üü", "html": "h"})
    with pytest.raises(ValueError, match="have 6 bytes, 5 are allowed"):
        fields(parts={"subject": "s", "text": "üü", "html": "hh"})


@pytest.mark.parametrize("domain", ["..", "a/../b", "a.b/c", "a", "a.b?c", "a.b\n", "a.b%2f", "", "a." + "b" * 252])
def test_a_domain_is_one_part_of_the_path(domain):
    pattern = next(field.pattern for field in mailgun.TRAITS.settings if field.name == "domain")
    assert re.fullmatch(pattern, "mg.shop.example")
    assert not re.fullmatch(pattern, domain)


@pytest.mark.parametrize(
    ("words", "after_ms"),
    [
        ("try again after 1 second", 1_000),
        ("try again after 0 seconds", 0),
        ("try again after 2 minutes", 120_000),
        ("try again after Mon, 21 Sep 2026 14:13:00 UTC", 0),
        ("try again after Mon, 99 Foo 2026 99:99:99 UTC", None),
        ("try again after 5 lunches", None),
        ("limit exceeded", None),
    ],
)
def test_the_pause_is_read_from_the_words(words, after_ms):
    answer = HttpResponse(429, {}, b'{"message": "%s"}' % words.encode())
    outcome = mailgun.read(answer, battery.message(TABLE), battery.account(TABLE), now_ms=battery.NOW_MS)
    assert outcome.after_ms == after_ms
