"""Warnings of a preview: each has its code, and a good message has none."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.content.fit import fit
from clarion.control.templates.email_text import CHECKED_CHARS, EmailText
from clarion.control.templates.warnings import HTML_BYTES, is_marketing, locale_warnings, warnings_of
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Category
from clarion.ports.drafting import Rendered

WORDS = "Your order has been packed today and will leave our warehouse tomorrow morning"
PAGE = f'<html><head><title>T</title></head><body><img src="https://a.example/x.png" alt="A box"><p>{WORDS}</p></body>'
MAIL = {"subject": "Your order is packed", "html": PAGE, "text": WORDS}
NEWS = Category("newsletter")
LEAVE = '<a href="https://a.example/unsubscribe?x=1">here</a>'


def codes(channel, parts, category=None):
    return [found.code for found in warnings_of({channel: parts}, category)]


@pytest.mark.parametrize(
    ("channel", "parts"),
    [
        (Channel.EMAIL, MAIL),
        (Channel.EMAIL, MAIL | {"subject": "Ваш заказ упакован", "text": WORDS + " https://a.example/order"}),
        (Channel.EMAIL, MAIL | {"subject": "注文が梱包されました"}),
        (Channel.SMS, {"body": "Your code is 123456. It costs 1 €."}),
        (Channel.PUSH, {"title": "Packed!", "body": WORDS, "url": "https://a.example"}),
        (Channel.INAPP, {"title": "IATA: FCO", "body": WORDS}),
        (Channel.WEBHOOK, {"data": {"a": 1, "url": "https://a.example"}}),
        (Channel.CHAT, {"text": "http://localhost:8080 and http://127.0.0.1/x"}),
    ],
)
def test_a_good_message_has_no_warnings(channel, parts):
    assert codes(channel, parts, Category("orders")) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"subject": "x" * 61}, "subject_long"),
        ({"subject": "x" * 2_000}, "subject_cut"),
        ({"subject": " "}, "subject_empty"),
        ({"subject": "YOUR ORDER 17 IS HERE"}, "all_capitals"),
        ({"subject": "Order! Now! Please!"}, "exclamation_marks"),
        ({"subject": "Order now!!"}, "exclamation_marks"),
        ({"text": ""}, "text_missing"),
        ({"html": PAGE.replace('alt="A box"', "")}, "alt_missing"),
        ({"html": PAGE.replace(WORDS, "")}, "image_only"),
        ({"html": PAGE + "x" * HTML_BYTES}, "html_large"),
        ({"html": PAGE + '<a href="http://a.example/x">x</a>'}, "http_link"),
        ({"text": WORDS + " http://a.example/x"}, "http_link"),
        ({"html": PAGE + '<a href="https://bit.ly/x">x</a>'}, "link_shortener"),
        ({"text": "nobody ever wrote anything that would resemble whatever stands elsewhere"}, "text_differs"),
        ({"html": f'<div style="display:none;x:y">{"word " * 40}&zwnj;&nbsp;</div>{PAGE}'}, "preheader_long"),
    ],
)
def test_an_email_gets_warnings(change, code):
    parts = fit(Channel.EMAIL, MAIL | change)
    assert codes(Channel.EMAIL, parts) == [code]


@pytest.mark.parametrize(
    ("channel", "parts", "code"),
    [
        (Channel.SMS, {"body": "x" * 460}, "sms_long"),
        (Channel.SMS, {"body": "Ваш код 123456"}, "sms_unicode"),
        (Channel.PUSH, {"title": "x" * 51}, "title_long"),
        (Channel.WEBPUSH, {"body": "x"}, "title_empty"),
        (Channel.PUSH, {"title": "A", "body": "word " * 2_000}, "push_shortened"),
        (Channel.PUSH, {"title": "A", "body": '"a' * 2_000}, "push_shortened"),
        (Channel.INAPP, {"title": "A", "actions": [{"url": "http://a.example"}]}, "http_link"),
        (Channel.CHAT, {"text": "see https://tinyurl.com/abc"}, "link_shortener"),
    ],
)
def test_every_channel_has_its_own_warnings(channel, parts, code):
    assert codes(channel, fit(channel, parts)) == [code]


def test_a_message_that_advertises_needs_a_way_to_leave():
    assert codes(Channel.EMAIL, MAIL, NEWS) == ["unsubscribe_missing"]
    for change in (
        {"html": PAGE + LEAVE},
        {"html": PAGE + '<a href="https://a.example/x">Abmelden</a>'},
        {"html": PAGE + '<a href="https://a.example/x">Darse de baja</a>'},
        {"text": WORDS + " Unsubscribe: https://a.example/x"},
        {"text": WORDS + "\nNewsletter abbestellen:\nhttps://a.example/x"},
    ):
        assert codes(Channel.EMAIL, MAIL | change, NEWS) == []
    # Words alone, without a link, do not count.
    for change in ({"html": f"{PAGE}<!-- {LEAVE} --> unsubscribe"}, {"text": WORDS + " Unsubscribe if you can"}):
        assert codes(Channel.EMAIL, MAIL | change, NEWS) == ["unsubscribe_missing"]


@pytest.mark.parametrize(
    ("category", "marketing"),
    [
        (None, False),
        (Category("orders"), False),
        (Category("orders", lane=Lane.BULK), True),
        (Category("Spring-Promotions"), True),
        (Category("marketing", critical=True), False),
        (Category("security", critical=True, lane=Lane.BULK), False),
    ],
)
def test_which_categories_advertise(category, marketing):
    assert is_marketing(category) is marketing


def test_a_missing_locale_is_reported_once_per_channel():
    rendered = Rendered("en", {Channel.SMS: {}, Channel.CHAT: {}})
    assert [(found.channel, found.code) for found in locale_warnings(rendered, "fr-CA")] == [
        (Channel.SMS, "locale_fallback"),
        (Channel.CHAT, "locale_fallback"),
    ]
    assert locale_warnings(rendered, "en-GB") == locale_warnings(rendered, "") == []


def test_a_character_is_what_its_reader_sees():
    letter = EmailText(
        "<html><head><title>no</title></head><STYLE>p{}</STYLE><script>no</script><!-- <img src=no> -->"
        '<IMG SRC=a><img alt="" src=b><p>one&nbsp;two&lt;b&gt;</p><a class=x href="u">go <b>on</b></a>'
    )
    assert letter.text == "one two<b> go on"
    assert letter.images_without_alt == ["<IMG SRC=a>"]
    assert len(letter.images) == 2
    assert letter.links == [' class=x href="u" go ']


@pytest.mark.parametrize(
    "piece", ["<", "<img ", "<a ", "<!--", "<style>", "<head ", "&", '<div style="display:none', "<a>"]
)
def test_no_character_takes_long_to_check(piece):
    hostile = (piece * (2 * CHECKED_CHARS // len(piece)))[: 2 * CHECKED_CHARS]
    started = time.thread_time()
    warnings_of({Channel.EMAIL: {"subject": "x", "html": hostile, "text": hostile}}, NEWS)
    assert time.thread_time() - started < 1


@given(st.dictionaries(st.sampled_from(["subject", "html", "text", "title", "body"]), st.text()))
def test_any_rendered_message_can_be_checked(parts):
    for channel in Channel:
        for found in warnings_of({channel: parts}, NEWS):
            assert found.channel is channel
            assert found.detail
