"""Termii's calls: the signature over the raw body, statuses as text, and inbound messages."""

import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.ports.receipts import Forged, Inbound, Receipt, ReceiptCall, Unreadable
from clarion.providers.sms import termii

ACCOUNT = Account("acme", "sms", Channel.SMS, "termii", 0, {}, {"api_key": "key", "secret_key": "canary-secret"})
# The notification on Termii's page about events.
REPORT = {
    "type": "outbound", "message_id": "5964465985113503103", "receiver": "2343459509389", "sender": "N-Alert",
    "message": "Your Termii confirmation code is 234u53.", "sent_at": "2020-12-16 11:34:36", "cost": "3.9",
    "command": "deliver", "status": "DELIVERED | Message delivered to handset", "channel": "Number Api",
}  # fmt: skip
INBOUND = {"type": "inbound", "id": "7ea1", "message_id": "59", "sender": "2343459509389", "receiver": "N-Alert"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REPORT, "id"]), inner, max_size=4),
    max_leaves=8,
)


def parse(body, signature=None, who=ACCOUNT):
    body = body if isinstance(body, bytes) else msgspec.json.encode(body)
    if signature is None:
        signature = hmac.new(b"canary-secret", body, hashlib.sha512).hexdigest()
    call = ReceiptCall("POST", "https://a.example/", {}, {"x-termii-signature": signature}, body)
    return termii.read_receipts(call, who, now_ms=0, keys={})


def test_a_report_is_matched_by_termiis_id():
    [receipt] = parse(REPORT)
    expected = Receipt("delivered", receipt.event_id, vendor_message_id="5964465985113503103", detail=REPORT["status"])
    assert receipt == expected
    assert parse(REPORT) == [receipt]
    # As a number the id has more digits than a double holds.
    assert parse(REPORT | {"message_id": 3017544054459083819819768})[0].vendor_message_id == "3017544054459083819819768"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("DELIVERED | Message delivered to handset", "delivered"),
        ("Delivered", "delivered"),
        ("DND Active on Phone Number", "bounced"),
        ("dnd active on phone number", "bounced"),
        ("Message Failed", "bounced"),
        ("Rejected", "bounced"),
        ("Expired", "bounced"),
        ("Undelivered", "bounced"),
        ("Not delivered", "bounced"),
        ("Failed to be delivered", "bounced"),
        ("Something new", "deferred"),
    ],
)
def test_what_a_status_means(status, kind):
    [receipt] = parse(REPORT | {"status": status})
    assert (receipt.kind, receipt.detail, receipt.suppress) == (kind, status, None)


@pytest.mark.parametrize("status", ["Message Sent", "sent", "", None, {"a": 1}])
def test_intermediate_statuses_are_ignored(status):
    assert parse(REPORT | {"status": status}) == []


def test_a_devices_events_are_ignored():
    assert parse({"type": "device", "id": "1", "status": "DISCONNECTED", "phone_number": "2343459509389"}) == []


@pytest.mark.parametrize(
    ("text", "word"), [("STOP", "stop"), ("start", "start"), ("Help", "help"), ("thanks", "other")]
)
def test_inbound_words(text, word):
    [message] = parse(INBOUND | {"message": text})
    assert message == Inbound(message.event_id, "+2343459509389", text, word)
    assert parse(INBOUND | {"message": text}) == [message]


def test_several_events_in_one_call():
    assert [type(found) for found in parse([REPORT, INBOUND, 5, {}])] == [Receipt, Inbound]


def test_only_the_secret_key_signs():
    body = msgspec.json.encode(REPORT)
    good = hmac.new(b"canary-secret", body, hashlib.sha512).hexdigest()
    assert isinstance(parse(body, good.upper()), list)
    for signature in ("", "x", "ü", good[:-1], hmac.new(b"key", body, hashlib.sha512).hexdigest()):
        assert isinstance(parse(body, signature), Forged)
    nobody = msgspec.structs.replace(ACCOUNT, credentials={"api_key": "key"})
    assert parse(body, good, nobody) == Forged("no secret_key is set")
    assert parse(body, hmac.new(b"", body, hashlib.sha512).hexdigest(), nobody) == Forged("no secret_key is set")
    assert isinstance(parse(b"[]"), Unreadable)
    assert isinstance(parse(b"\xff"), Unreadable)


@given(st.data())
def test_any_other_byte_is_forged(data):
    body = msgspec.json.encode(REPORT)
    good = hmac.new(b"canary-secret", body, hashlib.sha512).hexdigest()
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    assert isinstance(parse(changed, good), Forged) == (changed != body)


@given(JSON | st.binary(max_size=100))
def test_nothing_signed_raises(body):
    assert isinstance(parse(body), list | Unreadable)
