"""Rules for every template of the catalogue."""

import re
from pathlib import Path

import pytest

from clarion.domain.channel import Channel
from clarion.domain.sms import measure
from clarion.domain.template import Message, Source
from clarion.languages.jsonschema.schemas import JsonSchemas
from tests.catalogue.shelf import CHANNELS, KEYS, LOCALES, built, reading, rendered

WANTED = {
    "one-time-code", "welcome", "order-confirmed", "order-shipped", "order-delivered", "payment-failed", "invoice",
    "password-reset", "new-login", "data-export-ready", "comment-digest", "weekly-summary", "appointment-reminder",
    "ride-finished-rider", "ride-finished-driver", "price-drop", "cart-reminder", "incident-opened",
    "incident-resolved", "approval-wanted", "usage-limit", "trial-ending", "survey", "birthday", "event-invitation",
    "maintenance-window", "consent-change",
}  # fmt: skip
SCHEMAS = JsonSchemas()
PLURALS = {"zero", "one", "two", "few", "many"}
SUBJECT_CHARS = 70
TITLE_CHARS = 60
CUT_BYTES = 102_400  # Gmail clips e-mails above this size
REMOTE = re.compile(r"""<(?:link|script|iframe|object)\b|\ssrc=|@import|url\(""")
MARKUP_LEFT = re.compile(r"\{\{|\{%|%\}|\}\}")


def source(key: str) -> Source:
    return reading().folder.templates[key]


def test_the_folder_has_no_problem():
    assert [str(problem) for problem in reading().problems] == []


def test_all_of_them_are_there():
    assert set(KEYS) >= WANTED


@pytest.mark.parametrize("key", KEYS)
def test_it_is_of_a_category_and_says_what_it_is_for(key: str):
    assert source(key).category in reading().folder.categories
    assert source(key).description


@pytest.mark.parametrize("key", KEYS)
def test_it_has_every_channel_in_every_locale(key: str):
    template = built(key)
    assert {template.locale, *template.locales} == set(LOCALES)
    assert set(CHANNELS) <= set(template.parts) - set(template.derived)


@pytest.mark.parametrize("key", KEYS)
def test_each_locale_has_every_message(key: str):
    """Plural forms depend on the language; the keys of every other selection are the same in all locales."""
    locales = source(key).locales
    shapes = [{name: forms(message) - PLURALS for name, message in locales[tag].messages.items()} for tag in LOCALES]
    assert all(shape == shapes[0] for shape in shapes)


def forms(message: Message) -> set[str]:
    return set() if isinstance(message, str) else set(message)


@pytest.mark.parametrize("key", KEYS)
def test_its_sample_is_what_its_schema_asks_for(key: str):
    schema = source(key).variables
    assert schema is not None
    assert SCHEMAS.fault_of(schema) is None
    assert SCHEMAS.check(schema, source(key).sample.data) is None


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", KEYS)
def test_an_sms_is_one_segment(key: str, locale: str):
    body = rendered(key, locale)[Channel.SMS]["body"]
    assert measure(body).segments == 1, body


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", KEYS)
def test_headlines_are_short_enough_to_be_read(key: str, locale: str):
    parts = rendered(key, locale)
    assert 0 < len(parts[Channel.EMAIL]["subject"]) <= SUBJECT_CHARS
    for channel in (Channel.PUSH, Channel.INAPP):
        assert 0 < len(parts[channel]["title"]) <= TITLE_CHARS
        assert parts[channel]["body"]


@pytest.mark.parametrize("key", KEYS)
def test_an_email_is_whole_and_draws_on_nothing_from_elsewhere(key: str):
    html, brand = rendered(key, "en")[Channel.EMAIL]["html"], reading().folder.brand
    assert brand is not None
    assert REMOTE.search(html) is None
    assert len(html.encode()) < CUT_BYTES
    assert html.count("<!--[if") == html.count("<![endif]")
    assert f"<title>{brand.name}</title>" in html
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "prefers-color-scheme: dark" in html


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", KEYS)
def test_nothing_of_the_template_language_is_left(key: str, locale: str):
    parts = rendered(key, locale)
    # Style sheets end their blocks with two braces, too.
    parts[Channel.EMAIL]["html"] = re.sub(r"(?s)<style.*?</style>", "", parts[Channel.EMAIL]["html"])
    assert MARKUP_LEFT.search(str([*parts[Channel.EMAIL].values(), *parts[Channel.SMS].values()])) is None
    assert MARKUP_LEFT.search(parts[Channel.PUSH]["body"] + parts[Channel.INAPP]["body"]) is None


@pytest.mark.parametrize("key", KEYS)
def test_it_can_be_sent_to_somebody_without_a_name(key: str):
    parts = rendered(key, "en", user={"id": "u1", "locale": "en", "zone": "UTC"})
    assert all(parts[channel] for channel in CHANNELS)


def test_the_docs_list_all_of_them():
    page = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z]+) \| (.+) \|$", page, re.MULTILINE)
    assert sorted(rows) == [(key, source(key).category, source(key).description) for key in KEYS]
