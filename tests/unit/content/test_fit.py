"""A message that exceeds a channel's limits is made to fit, or refused."""

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.content.fit import ELLIPSIS, fit, payload_bytes, shorten
from clarion.domain.channel import Channel
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX, SUBJECT_CHARS_MAX
from clarion.ports.renderer import RenderError

FAMILY = "👨\u200d👩\u200d👧"
long_texts = st.lists(st.sampled_from(["a", "é", "ж", "漢", "😀", FAMILY, "\n", '"', "\\", "e\u0301"])).map(
    lambda signs: "".join(signs) * 120
)


@given(long_texts, st.integers(0, 5_000))
def test_a_shortened_text_is_a_whole_beginning_of_it(text, limit):
    short = shorten(text, limit)
    assert len(msgspec.json.encode(short)) - 2 <= limit
    if short != text:
        kept = short.removesuffix(ELLIPSIS)
        assert text.startswith(kept)
        rest = text[len(kept) :].lstrip()
        assert limit < 3 or not rest or not unicodedata.combining(rest[0])
        assert not kept.endswith("\u200d")


@given(long_texts, st.dictionaries(st.sampled_from(["title", "url"]), st.text(max_size=40)))
def test_a_push_fits_its_payload(body, others):
    fitted = fit(Channel.PUSH, {**others, "body": body})
    assert payload_bytes(fitted) <= PUSH_PAYLOAD_BYTES_MAX
    assert {name: text for name, text in fitted.items() if name != "body"} == others
    if payload_bytes({**others, "body": body}) <= PUSH_PAYLOAD_BYTES_MAX:
        assert fitted["body"] == body
    else:
        assert payload_bytes(fitted) > PUSH_PAYLOAD_BYTES_MAX - 64
    msgspec.json.encode(fitted)


def test_a_push_that_is_too_large_without_its_body_is_refused():
    with pytest.raises(RenderError, match="even without title and body"):
        fit(Channel.WEBPUSH, {"body": "x", "data": {"blob": "y" * PUSH_PAYLOAD_BYTES_MAX}})


def test_a_long_title_gives_way_after_the_body():
    fitted = fit(Channel.PUSH, {"title": "t" * 5_000, "body": "b" * 100, "url": "/x"})
    assert payload_bytes(fitted) <= PUSH_PAYLOAD_BYTES_MAX
    assert fitted["title"].startswith("ttt") and fitted["title"].endswith(ELLIPSIS)


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", " JaVaScript:x", "java\tscript:x", "vbscript:x", "data:text/html,x"]
)
@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.WEBPUSH, Channel.INAPP])
def test_no_link_is_a_script(channel, link):
    for parts in ({"url": link}, {"avatar": link}, {"actions": [{"label": "x"}, {"url": link}]}):
        with pytest.raises(RenderError, match="may not be a script"):
            fit(channel, {"title": "t", **parts})


@pytest.mark.parametrize(
    "link", ["https://a.example/x", "app://order/1", "/orders", "mailto:a@b.example", "data:image/png;base64,AA", ""]
)
def test_links_of_apps_are_left_alone(link):
    parts = {"title": "t", "url": link, "actions": [{"url": link}], "data": {"x": 1}}
    assert fit(Channel.INAPP, parts) == parts


def test_a_subject_keeps_to_its_limit():
    subject = fit(Channel.EMAIL, {"subject": "x" * 2_000, "text": "t"})["subject"]
    assert len(subject) == SUBJECT_CHARS_MAX
    assert subject.endswith(ELLIPSIS)
    assert fit(Channel.EMAIL, {"subject": "short"}) == {"subject": "short"}


def test_an_sms_in_typographic_dress_is_sent_in_the_gsm_alphabet():
    assert fit(Channel.SMS, {"body": "It’s"}) == {"body": "It's"}


@pytest.mark.parametrize("parameter", ["", "a\nb", "a\tb", "a     b", "x" * 1_025])
def test_whatsapp_parameters_keep_the_vendors_rules(parameter):
    with pytest.raises(RenderError, match=r"parameters\[1\]"):
        fit(Channel.WHATSAPP, {"template": {"name": "order", "parameters": ["fine", parameter]}})


def test_whatsapp_parameters_within_the_rules_pass():
    parts = {"template": {"name": "order", "parameters": ["fine", "a    b"]}}
    assert fit(Channel.WHATSAPP, parts) == parts
