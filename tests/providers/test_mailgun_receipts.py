"""Mailgun's delivery receipts, in the format of its documentation, signed here independently."""

import hashlib
import hmac
from urllib.parse import parse_qs

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import Message
from clarion.ports.receipts import Forged, ReceiptCall, Suppress, Unreadable
from clarion.providers.email import mailgun

NOW_MS = 1_790_000_000_000
HOUR_S = 3600
KEY = "canary-signing-key"
REFERENCE = "dlv_" + "0190" * 12
TOKEN = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"
ACCOUNT = Account(
    "acme", "mg", Channel.EMAIL, "mailgun", 0, {"domain": "mg.shop.example", "from_email": "news@shop.example"},
    {"api_key": "key-1", "webhook_signing_key": KEY},
)  # fmt: skip


def event(name, **more):
    return {
        "event": name, "id": "G9Bn5sl1TC6nu79C8C0bwg", "timestamp": 1521233195.375624, "recipient": "alice@example.com",
        "message": {"headers": {"to": "Alice <alice@example.com>", "message-id": "20130503192659.13651.20287@mg.shop.example"}},
        "user-variables": {"delivery_id": REFERENCE}, "tags": [], **more,
    }  # fmt: skip


def failed(severity="permanent", reason="bounce", code=550, enhanced="", **more):
    status = {"attempt-no": 1, "message": "No such user", "code": code, "description": "", "session-seconds": 0}
    return event(
        "failed", severity=severity, reason=reason,
        **{"delivery-status": {**status, **({"enhanced-code": enhanced} if enhanced else {})}}, **more,
    )  # fmt: skip


def call(data, *, age_s=0, key=KEY, token=TOKEN):
    stamp = str(NOW_MS // 1000 - age_s)
    signature = hmac.new(key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    body = {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": data}
    return ReceiptCall("POST", "https://notify.example/v1/receipts/acme/mg", {}, {}, msgspec.json.encode(body))


def read(parsed, account=ACCOUNT):
    return mailgun.read_receipts(parsed, account, now_ms=NOW_MS, keys={})


@pytest.mark.parametrize(
    ("parsed", "kind", "reason"),
    [
        (event("delivered"), "delivered", None),
        (failed(code=550), "bounced", "hard_bounce"),
        (failed(code=550, enhanced="5.1.1"), "bounced", "hard_bounce"),
        (failed(code=550, enhanced="5.7.1"), "bounced", None),
        (failed(code=552, enhanced="5.2.2"), "bounced", None),
        (failed(code=498, reason="generic"), "bounced", None),
        (failed(code=602, reason="old"), "bounced", None),
        (failed(code=605, reason="suppress-bounce"), "bounced", "hard_bounce"),
        (failed(code=607, reason="suppress-complaint"), "bounced", "complaint"),
        (failed(code=606, reason="suppress-unsubscribe"), "bounced", "unsubscribed"),
        (failed("temporary", code=452, enhanced="4.2.2"), "deferred", None),
        (event("complained"), "complained", "complaint"),
        (event("unsubscribed"), "unsubscribed", "unsubscribed"),
        (event("opened"), "opened", None),
        (event("clicked", url="http://mailgun.com"), "clicked", None),
    ],
)
def test_each_event_means_one_thing(parsed, kind, reason):
    (receipt,) = read(call(parsed))
    assert (receipt.kind, receipt.reference, receipt.at_ms) == (kind, REFERENCE, 1_521_233_195_375)
    assert receipt.vendor_message_id == "20130503192659.13651.20287@mg.shop.example"
    assert receipt.suppress == (Suppress("alice@example.com", reason) if reason else None)
    assert receipt.once


def test_intermediate_or_unknown_events_are_ignored():
    assert read(call(event("accepted"))) == read(call(event("teleported"))) == []


def test_a_token_is_one_event_for_any_body():
    ids = {read(call(event(name)))[0].event_id for name in ("delivered", "complained")}
    assert len(ids) == 1
    assert read(call(event("delivered"), token="f" * 50))[0].event_id not in ids


def test_repeats_of_eight_hours_are_taken_and_older_calls_are_not():
    assert read(call(event("delivered"), age_s=8 * HOUR_S))
    for age_s in (10 * HOUR_S, -HOUR_S):
        assert isinstance(read(call(event("delivered"), age_s=age_s)), Forged)


def test_signatures_are_checked():
    good = call(event("delivered"))
    assert isinstance(read(call(event("delivered"), key="other")), Forged)
    assert isinstance(read(good._replace(body=good.body.replace(TOKEN[:6].encode(), b"ffffff"))), Forged)
    assert isinstance(read(good._replace(method="GET")), Forged)
    assert isinstance(read(good, msgspec.structs.replace(ACCOUNT, credentials={"api_key": "key-1"})), Forged)
    empty = call(event("delivered"), token="")
    assert isinstance(read(empty), Forged)


def test_hostile_bodies_never_raise():
    for body in (
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"signature": 1}',
        b'{"signature": {"token": {}}}',
        b"[" * 5_000,
        b"\xff",
    ):
        assert isinstance(read(call({})._replace(body=body)), Forged)
    for data in ({}, [], 1, {"event": {}}):
        assert isinstance(read(call(data)), Unreadable)
    hostile = {"event": "failed", "severity": "permanent", "delivery-status": [], "message": 1, "user-variables": "x",
               "timestamp": "soon", "recipient": {}}  # fmt: skip
    (receipt,) = read(call(hostile))
    assert (receipt.suppress, receipt.at_ms, receipt.reference) == (None, 0, "")


def test_the_reference_goes_along():
    reference = REFERENCE + "-" + "ab" * 8 + "-3e7"
    message = Message(
        REFERENCE, "ntf_1", "acme", Channel.EMAIL, "ada", "ada@example.com", {"subject": "s", "text": "t"}, 1, 1,
        reference=reference,
    )  # fmt: skip
    form = parse_qs(mailgun.build(message, ACCOUNT, now_ms=NOW_MS, token=None).body.decode())
    assert form["v:delivery_id"] == [reference]
