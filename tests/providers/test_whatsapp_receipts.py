"""WhatsApp's calls: the handshake, the signature over the raw body, statuses, and inbound messages."""

import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.ports.receipts import Forged, Handshake, Inbound, Receipt, ReceiptCall, Suppress, Unreadable
from clarion.providers.whatsapp import whatsapp

REFERENCE = "dlv_019001900190019001900190019001900190019001900190-00c0ffee00c0ffee-1f"
ACCOUNT = Account(
    "acme", "chat", Channel.WHATSAPP, "whatsapp", 0, {}, {"app_secret": "canary-secret", "verify_token": "canary-token"}
)
WAMID = "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI3MTE5MjVBOTE3MDk5QUVFM0YA"
STATUS = {
    "id": WAMID, "status": "delivered", "timestamp": "1750030073", "recipient_id": "16505551234",
    "biz_opaque_callback_data": REFERENCE,
    "conversation": {"id": "6ceb9d929c9bdc4f90967a32f8639d74", "origin": {"type": "utility"}},
    "pricing": {"billable": True, "pricing_model": "CBP", "category": "utility"},
}  # fmt: skip
FAILED = {
    "id": WAMID, "status": "failed", "timestamp": "1750030073", "recipient_id": "16505551234",
    "errors": [
        {
            "code": 131050, "title": "Unable to deliver the message.", "message": "Unable to deliver the message.",
            "error_data": {"details": "The recipient has chosen to stop receiving marketing messages."},
        }
    ],
}  # fmt: skip
TEXT = {
    "from": "16505551234", "id": "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=",
    "timestamp": "1749416383", "type": "text", "text": {"body": "Does it come in another color?"},
}  # fmt: skip
PREFERENCE = {
    "wa_id": "16505551234", "detail": "User requested to stop marketing messages", "category": "marketing_messages",
    "value": "stop", "timestamp": 1731705721,
}  # fmt: skip
NAMES = ["id", "status", "from", "text", "body", "errors", "code", "timestamp", "recipient_id", "button", "interactive"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


def sign(body, secret=b"canary-secret"):
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def posted(body, signature=None, who=ACCOUNT):
    headers = {"x-hub-signature-256": sign(body) if signature is None else signature}
    return whatsapp.read_receipts(ReceiptCall("POST", "https://a.example/", {}, headers, body), who, now_ms=0, keys={})


def parse(**value):
    change = {"value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, **value}}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}
    return posted(msgspec.json.encode(body))


def shaken(who=ACCOUNT, **query):
    query = {f"hub.{name}": value for name, value in query.items()}
    return whatsapp.read_receipts(ReceiptCall("GET", "https://a.example/", query, {}, b""), who, now_ms=0, keys={})


def test_the_handshake_echoes_the_challenge_to_who_knows_the_token():
    assert shaken(mode="subscribe", verify_token="canary-token", challenge="1158201444") == Handshake("1158201444")
    for token in ("", "canary", "canary-token ", "ünknown"):
        assert isinstance(shaken(mode="subscribe", verify_token=token, challenge="1158201444"), Forged)
    assert isinstance(shaken(), Forged)
    assert isinstance(shaken(mode="unsubscribe", verify_token="canary-token", challenge="1"), Unreadable)
    for challenge in ("", "<script>", "1" * 201, "a b"):
        assert isinstance(shaken(mode="subscribe", verify_token="canary-token", challenge=challenge), Unreadable)


def test_without_secrets_everything_is_forged():
    nobody = msgspec.structs.replace(ACCOUNT, credentials={"access_token": "t"})
    assert shaken(nobody, mode="subscribe", verify_token="", challenge="1") == Forged("no verify_token is set")
    assert posted(b"{}", sign(b"{}", b""), nobody) == Forged("no app_secret is set")


def test_a_delivered_message_is_found_by_our_reference_and_by_its_id():
    [receipt] = parse(statuses=[STATUS])
    assert receipt == Receipt(
        "delivered",
        receipt.event_id,
        reference=REFERENCE,
        vendor_message_id=WAMID,
        at_ms=1750030073000,
        detail="delivered",
    )
    assert parse(statuses=[STATUS]) == [receipt]
    assert parse(statuses=[STATUS | {"status": "read"}])[0].event_id != receipt.event_id


@pytest.mark.parametrize(
    ("status", "kind"), [("delivered", "delivered"), ("read", "read"), ("played", "read"), ("failed", "bounced")]
)
def test_what_a_status_means(status, kind):
    [receipt] = parse(statuses=[STATUS | {"status": status}])
    assert (receipt.kind, receipt.suppress) == (kind, None)


@pytest.mark.parametrize("status", ["sent", "deleted", "warning", "", None])
def test_intermediate_statuses_are_ignored(status):
    assert parse(statuses=[STATUS | {"status": status}]) == []


@pytest.mark.parametrize("code", [131026, 131047, 131049, 131050, 130472, 131000, 131053, 470])
def test_only_a_number_that_cannot_be_reached_is_suppressed(code):
    error = FAILED["errors"][0] | {"code": code}
    [receipt] = parse(statuses=[FAILED | {"errors": [error]}])
    assert receipt.kind == "bounced"
    assert receipt.suppress == (Suppress("+16505551234", "invalid_recipient") if code == 131026 else None)
    assert receipt.detail == f"failed {code} {error['title']} {error['error_data']['details']}"


def test_who_has_no_number_here_is_not_suppressed():
    error = FAILED["errors"][0] | {"code": 131026}
    [receipt] = parse(statuses=[FAILED | {"errors": [error], "recipient_id": "US.13491208655302741918"}])
    assert receipt.suppress is None


def message(**content):
    return {**{name: TEXT[name] for name in ("from", "id", "timestamp")}, **content}


@pytest.mark.parametrize(
    ("sent", "text", "word"),
    [
        (TEXT, "Does it come in another color?", "other"),
        (message(type="text", text={"body": "stop"}), "stop", "stop"),
        (message(type="button", button={"payload": "No Thanks", "text": "Stop"}), "Stop", "stop"),
        (message(type="button", button={"payload": "STOP", "text": "No more, please"}), "No more, please", "stop"),
        (
            message(
                type="interactive", interactive={"type": "button_reply", "button_reply": {"id": "b1", "title": "START"}}
            ),
            "START",
            "start",
        ),
        (
            message(
                type="interactive", interactive={"type": "list_reply", "list_reply": {"id": "help", "title": "Ask us"}}
            ),
            "Ask us",
            "help",
        ),
        (message(type="image", image={"id": "1"}), "", "other"),
    ],
)
def test_inbound_words(sent, text, word):
    [found] = parse(messages=[sent])
    assert found == Inbound(found.event_id, "+16505551234", text, word, 1749416383000)


@pytest.mark.parametrize(
    ("sender", "numbers"),
    [
        ("4915112345678", ["+4915112345678"]),
        ("554188887777", ["+554188887777", "+5541988887777"]),
        ("5511987654321", ["+5511987654321"]),
        ("5215512345678", ["+525512345678"]),
        ("5491123456789", ["+5491123456789", "+541123456789"]),
        ("US.13491208655302741918", ["US.13491208655302741918"]),
    ],
)
def test_a_stop_holds_for_each_form_a_number_is_known_in(sender, numbers):
    for word in ("stop", "start"):
        found = parse(messages=[TEXT | {"from": sender, "text": {"body": word}}])
        assert [(one.address, one.keyword) for one in found] == [(number, word) for number in numbers]
        assert len({one.event_id for one in found}) == len(numbers)
    assert [one.address for one in parse(messages=[TEXT | {"from": sender}])] == numbers[:1]


@pytest.mark.parametrize(("value", "kind"), [("stop", "unsubscribed"), ("resume", "resubscribed")])
def test_who_stops_marketing_still_gets_orders(value, kind):
    [receipt] = parse(user_preferences=[PREFERENCE | {"value": value}])
    assert (receipt.kind, receipt.suppress, receipt.at_ms) == (kind, None, 1731705721000)
    assert parse(user_preferences=[PREFERENCE | {"value": value}]) == [receipt]
    assert parse(user_preferences=[PREFERENCE | {"category": "other"}]) == []


def test_many_events_in_one_call_and_what_cannot_be_read_keeps_none_back():
    found = parse(statuses=[STATUS, 5, {}, FAILED], messages=[None, TEXT], user_preferences="x", errors=[{"code": 1}])
    assert [type(one) for one in found] == [Receipt, Receipt, Inbound]
    entry = {"changes": [{"value": {"statuses": [STATUS]}}, {"field": "account_update", "value": {"event": "X"}}]}
    body = msgspec.json.encode({"object": "whatsapp_business_account", "entry": [entry, entry]})
    assert len(posted(body)) == 2


def test_the_signature_is_over_the_raw_bytes():
    # From an SDK's documentation: the body `test`, the secret `secret`.
    known = "sha256=0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914"
    who = msgspec.structs.replace(ACCOUNT, credentials={"app_secret": "secret"})
    assert isinstance(posted(b"test", known, who), Unreadable)
    escaped = rb'{"object": "whatsapp_business_account", "entry": [{"name": "\u00fc"}]}'
    assert posted(escaped) == []
    assert isinstance(posted(escaped.replace(rb"\u00fc", "ü".encode()), sign(escaped)), Forged)
    for signature in ("", sign(escaped)[7:], sign(escaped)[:-1], "sha256=", "sha256=ü"):
        assert isinstance(posted(escaped, signature), Forged)


@given(st.data())
def test_any_other_byte_is_forged(data):
    body = msgspec.json.encode({"object": "whatsapp_business_account", "entry": [{"changes": [STATUS]}]})
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    assert isinstance(posted(changed, sign(body)), Forged) == (changed != body)


@given(JSON | st.binary(max_size=100))
def test_nothing_signed_raises(value):
    if isinstance(value, bytes):
        assert isinstance(posted(value), Unreadable)
        return
    for name in ("statuses", "messages", "user_preferences"):
        assert isinstance(parse(**{name: value}), list)
        assert isinstance(parse(**{name: [value]}), list)
    body = msgspec.json.encode({"object": "whatsapp_business_account", "entry": value})
    assert posted(body) == []
