"""SendGrid's delivery receipts, by the events of its documentation, signed here independently."""

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import Message
from clarion.ports.receipts import Forged, ReceiptCall, Suppress, Unreadable
from clarion.providers.email import sendgrid
from tests.made_once import rsa_key

NOW_MS = 1_790_000_000_000
REFERENCE = "dlv_" + "0190" * 12 + "-" + "ab" * 8 + "-3e7"

KEY = ec.generate_private_key(ec.SECP256R1())


def shown(key):
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


SETTINGS = {"from_email": "news@shop.example", "webhook_public_key": shown(KEY)}
ACCOUNT = Account("acme", "sg", Channel.EMAIL, "sendgrid", 0, SETTINGS, {"api_key": "SG.x"})


def event(name, **more):
    return {
        "email": "example@test.com", "timestamp": 1513299569, "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": name, "sg_event_id": f"id-{name}", "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "delivery_id": REFERENCE, **more,
    }  # fmt: skip


def call(events, *, age_s=0, key=KEY, method="POST", tail=b"\r\n"):
    """Return a signed call: batches end in a line break, which is signed with them."""
    body = (events if isinstance(events, bytes) else msgspec.json.encode(events)) + tail
    stamp = str(NOW_MS // 1000 - age_s)
    signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {sendgrid_headers[0]: signature, sendgrid_headers[1]: stamp}
    return ReceiptCall(method, "https://notify.example/v1/receipts/acme/sg", {}, headers, body)


sendgrid_headers = ("x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp")


def read(parsed, account=ACCOUNT):
    return sendgrid.read_receipts(parsed, account, now_ms=NOW_MS, keys={})


@pytest.mark.parametrize(
    ("parsed", "kind", "reason"),
    [
        (event("delivered", response="250 OK"), "delivered", None),
        (event("deferred", response="400 try again later", attempt="5"), "deferred", None),
        (event("bounce", type="bounce", status="5.0.0", reason="500 unknown recipient"), "bounced", "hard_bounce"),
        (event("bounce", reason="500 unknown recipient"), "bounced", "hard_bounce"),
        (event("bounce", type="blocked", reason="unable to get mx info"), "bounced", None),
        (event("dropped", reason="Bounced Address", status="5.0.0"), "bounced", "hard_bounce"),
        (event("dropped", reason="Spam Reporting Address"), "bounced", "complaint"),
        (event("dropped", reason="Unsubscribed Address"), "bounced", "unsubscribed"),
        (event("dropped", reason="Invalid"), "bounced", "hard_bounce"),
        (event("dropped", reason="Spam Content"), "bounced", None),
        (event("open", useragent="Mozilla/4.0"), "opened", None),
        (event("click", url="http://www.sendgrid.com/"), "clicked", None),
        (event("spamreport"), "complained", "complaint"),
        (event("unsubscribe"), "unsubscribed", "unsubscribed"),
        (event("group_unsubscribe", asm_group_id=10), "unsubscribed", None),
        (event("group_resubscribe", asm_group_id=10), "resubscribed", None),
    ],
)
def test_each_event_means_one_thing(parsed, kind, reason):
    (receipt,) = read(call([parsed]))
    assert (receipt.kind, receipt.reference, receipt.at_ms) == (kind, REFERENCE, 1_513_299_569_000)
    assert receipt.vendor_message_id == "14c5d75ce93"
    assert receipt.suppress == (Suppress("example@test.com", reason) if reason else None)


def test_a_batch_is_read_in_order_without_irrelevant_events():
    names = ["processed", "delivered", "account_status_change", "open"]
    assert [one.kind for one in read(call([event(name) for name in names]))] == ["delivered", "opened"]
    assert (
        len({one.event_id for one in read(call([event("open"), event("click"), event("open", sg_event_id="x")]))}) == 3
    )


def test_the_signature_is_over_the_raw_bytes():
    good = call([event("delivered")])
    assert isinstance(read(good._replace(body=good.body.rstrip())), Forged)
    assert isinstance(read(good._replace(body=good.body.replace(b"delivered", b"bounced"))), Forged)
    assert isinstance(
        read(good._replace(headers={**good.headers, sendgrid_headers[1]: str(NOW_MS // 1000 + 1)})), Forged
    )
    for headers in ({}, {**good.headers, sendgrid_headers[0]: "AAAA"}, {**good.headers, sendgrid_headers[0]: "ü!"}):
        assert isinstance(read(good._replace(headers=headers)), Forged)
    assert isinstance(read(call([event("delivered")], key=ec.generate_private_key(ec.SECP256R1()))), Forged)
    assert isinstance(read(call([event("delivered")], method="GET")), Forged)


def test_a_repeat_after_a_day_is_taken_and_one_after_a_week_is_not():
    assert read(call([event("delivered")], age_s=24 * 3600))
    assert isinstance(read(call([event("delivered")], age_s=7 * 24 * 3600)), Forged)
    assert isinstance(read(call([event("delivered")], age_s=-3600)), Forged)


@pytest.mark.parametrize("key", ["", "AAAA", "!!!", shown(rsa_key())])
def test_without_a_good_key_nothing_is_taken(key):
    account = msgspec.structs.replace(ACCOUNT, settings={**SETTINGS, "webhook_public_key": key})
    assert isinstance(read(call([event("delivered")]), account), Forged)


def test_hostile_bodies_that_are_signed_never_raise():
    for body in (b"", b"{", b"null", b"{}", b"[" * 5_000, b"\xff"):
        assert isinstance(read(call(body)), Unreadable)
    hostile = [1, None, {}, {"event": []}, {"event": "open", "email": 5, "timestamp": "x", "sg_event_id": {}}]
    assert [one.kind for one in read(call(hostile))] == ["opened"]


def test_the_reference_goes_along():
    message = Message(
        REFERENCE[:52], "ntf_1", "acme", Channel.EMAIL, "ada", "ada@example.com", {"subject": "s", "text": "t"}, 1, 1,
        reference=REFERENCE,
    )  # fmt: skip
    body = msgspec.json.decode(sendgrid.build(message, ACCOUNT, now_ms=NOW_MS, token=None).body)
    assert body["custom_args"] == {"delivery_id": REFERENCE}
