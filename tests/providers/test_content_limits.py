"""Every limit that a vendor declares is applied: below and at it a message is sent whole; over it, it is shortened, split or
refused as declared, with the figures in the detail."""

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.content.fit import ELLIPSIS, fit, payload_bytes, segmented
from clarion.domain.channel import Channel
from clarion.domain.fitting import ContentLimit, Fitted, OverLimit, in_words
from clarion.domain.message import AppriseReply, HttpResponse, LocalRequest
from clarion.providers import catalogue, envelope
from tests.providers import battery

VENDORS = {vendor: module for (_, vendor), module in sorted(catalogue.load().items())}
TABLES = {table["vendor"]: table for table in battery.tables().values() if "request" in table}
LIMITS = [(vendor, limit) for vendor, module in VENDORS.items() for limit in module.TRAITS.limits]
REFUSED = [
    (vendor, limit)
    for vendor, limit in LIMITS
    # Files have a test of their own; limits of a service behind Apprise are not declared here.
    if limit.over == "refuse" and limit.parts != envelope.WHOLE and limit.most
]
PUSHES = [(vendor, limit) for vendor, limit in LIMITS if limit.over == "shorten" and limit.unit == "bytes"]
HEADLINES = [(vendor, limit) for vendor, limit in LIMITS if limit.over == "shorten" and limit.unit == "chars"]
SIGNS = ["x", "é", "漢", "🎉", "e\u0301", "👨\u200d👩\u200d👧", "👍🏽", "🇩🇪", "ก็", "\u05e9\u05c1", "한", '"']


def named(case):
    return f"{case[0]}-{'-'.join(case[1].parts)}-{case[1].about.replace(' ', '-')[:24]}"


def sized(vendor: str, limit: ContentLimit, size: int, sign: str = "x") -> dict:
    """Return parts of which the limited one has exactly this number of units."""
    text, part = sign * size, limit.parts[0]
    if vendor == "whatsapp" and part == "template":
        one = {"name": text, "text": "t"} if limit.about == "the name of a parameter" else text
        return {"template": {"name": "order", "parameters": [one]}}
    if vendor == "slack" and part == "blocks":
        section = {"type": "section", "text": {"type": "mrkdwn", "text": "t"}}
        if limit.unit == "items":
            return {"blocks": [section] * size}
        return {"blocks": [{"type": limit.about.split()[-1], "text": {"type": "plain_text", "text": text}}]}
    base = {"subject": "s", "text": "t"} if VENDORS[vendor].TRAITS.channels == (Channel.EMAIL,) else {}
    return base | {part: text}


def built(vendor: str, parts: dict):
    return battery.build(VENDORS[vendor], TABLES[vendor], parts=parts)


def test_every_limit_can_be_acted_upon():
    assert LIMITS
    for vendor, limit in LIMITS:
        traits = VENDORS[vendor].TRAITS
        known = set(traits.parts) | {"attachments"}
        assert set(limit.parts) <= known, vendor
        assert (limit.unit == "segments") == (limit.over == "split")
        assert limit.most or limit.about


def test_vendors_of_people_declare_what_they_take():
    silent = {vendor for vendor, module in VENDORS.items() if not module.TRAITS.limits}
    assert silent == {"sandbox", "webhook"}


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_what_is_over_is_refused_by_name_and_figure(case):
    vendor, limit = case
    for size in (limit.most - 1, limit.most):
        assert built(vendor, sized(vendor, limit, size))
    with pytest.raises(OverLimit) as caught:
        built(vendor, sized(vendor, limit, limit.most + 1))
    assert f"{limit.most + 1:,}" in str(caught.value) and f"{limit.most:,} are allowed" in str(caught.value)
    assert limit.parts[0] in str(caught.value)


@pytest.mark.parametrize("case", [case for case in REFUSED if case[1].unit == "chars"], ids=named)
def test_characters_are_counted_regardless_of_their_bytes(case):
    vendor, limit = case
    assert built(vendor, sized(vendor, limit, limit.most, "漢"))
    with pytest.raises(OverLimit):
        built(vendor, sized(vendor, limit, limit.most + 1, "漢"))


@pytest.mark.parametrize("case", PUSHES, ids=named)
def test_a_push_is_shortened_where_it_begins_to_be_too_long(case):
    vendor, limit = case
    channel = Channel(TABLES[vendor]["channel"])
    room = 4_096 - payload_bytes({"title": "t", "body": ""})
    for over in (-1, 0, 1):
        notes: list[Fitted] = []
        parts = fit(channel, {"title": "t", "body": "x" * (room + over)}, notes)
        assert built(vendor, parts)
        assert bool(notes) == (over > 0)
    title = VENDORS[vendor].TRAITS.title
    assert in_words(notes, VENDORS[vendor].TRAITS.limits, title) == (
        f"the body was shortened from {room + 1:,} to {room:,} bytes: {limit.most:,} bytes are what {title} takes"
    )


@pytest.mark.parametrize("case", HEADLINES, ids=named)
def test_a_headline_is_shortened_where_it_begins_to_be_too_long(case):
    vendor, limit = case
    channel, part = Channel(TABLES[vendor]["channel"]), limit.parts[0]
    for over in (-1, 0, 1):
        notes: list[Fitted] = []
        parts = fit(channel, {"text": "t", "body": "b", part: "x" * (limit.most + over)}, notes)
        assert built(vendor, parts)
        assert len(parts[part]) == limit.most - (over < 0)
        assert bool(notes) == (over > 0)
    words = in_words(notes, VENDORS[vendor].TRAITS.limits, VENDORS[vendor].TRAITS.title)
    assert words.startswith(f"the {part} was shortened from {limit.most + 1:,} to {limit.most:,} characters: ")


@given(st.lists(st.sampled_from(SIGNS), min_size=1, max_size=12), st.sampled_from(["body", "subject"]))
def test_no_sign_is_cut_in_two(signs, part):
    text = "".join(signs) * (8_192 // len(signs))
    channel = Channel.PUSH if part == "body" else Channel.EMAIL
    shortened = fit(channel, {part: text})[part].removesuffix(ELLIPSIS)
    shortened.encode()
    assert text.startswith(shortened)
    at, places = 0, {0}
    while at < len(shortened):
        for sign in signs:
            at += len(sign)
            places.add(at)
    assert len(shortened) in places
    assert not unicodedata.category(text[len(shortened)]).startswith("M")


@pytest.mark.parametrize(
    ("sign", "most", "encoding"), [("x", 160, "GSM-7"), ("ж", 70, "UCS-2"), ("€", 80, "GSM-7"), ("🎉", 35, "UCS-2")]
)
def test_a_text_message_is_split_where_it_begins_to_be_too_long(sign, most, encoding):
    assert segmented({"body": sign * (most - 1)}) is None
    assert segmented({"body": sign * most}) is None
    split = segmented({"body": sign * (most + 1)})
    assert in_words([split], (), "Twilio") == f"split into 2 SMS segments ({encoding})"


def test_a_channels_own_figure_is_named_where_a_vendor_declares_none():
    notes: list[Fitted] = []
    fit(Channel.PUSH, {"body": "x" * 5_120, "title": "t" * 4_000}, notes)
    assert in_words(notes, (), "Sandbox").split("; ") == [
        "the body was shortened from 5,120 to 0 bytes: 4,096 bytes are the most there may be",
        f"the title was shortened from 4,000 to {notes[1].after:,} bytes: 4,096 bytes are the most there may be",
    ]


def test_the_sandbox_keeps_what_was_made_to_fit():
    parts = fit(Channel.PUSH, {"body": "x" * 5_000})
    request = battery.build(VENDORS["sandbox"], TABLES["sandbox"], parts=parts)
    assert isinstance(request, LocalRequest) and request.content["parts"] == parts
    assert msgspec.json.encode(request.content)


@pytest.mark.parametrize(("overflow", "word"), [("split", "split"), ("truncate", "shortened")])
def test_changes_by_apprise_are_reported(overflow, word):
    vendor, table = VENDORS["apprise"], TABLES["apprise"]
    account = battery.account(table)
    account = msgspec.structs.replace(account, settings={**account.settings, "overflow": overflow})
    answer = AppriseReply(done=True, response=HttpResponse(204, {}, b""), over_chars=2_000)
    outcome = vendor.read(answer, battery.message(table), account, now_ms=battery.NOW_MS)
    assert outcome.detail == f"the text was {word}: 2,000 characters are what the service takes"
