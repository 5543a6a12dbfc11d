"""Postmark's delivery receipts, by the examples of its documentation."""

import base64

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import Message
from clarion.ports.receipts import Forged, ReceiptCall, Suppress, Unreadable
from clarion.providers.email import postmark

NOW_MS = 1_790_000_000_000
PASSWORD = "canary-password-of-the-webhook"
REFERENCE = "dlv_" + "0190" * 12 + "-" + "ab" * 8 + "-3e7"
CREDENTIALS = {"server_token": "t", "webhook_username": "postmark", "webhook_password": PASSWORD}
ACCOUNT = Account("acme", "pm", Channel.EMAIL, "postmark", 0, {"from_email": "news@shop.example"}, CREDENTIALS)
BASIC = {"authorization": "Basic " + base64.b64encode(f"postmark:{PASSWORD}".encode()).decode()}


def event(record, **more):
    return {
        "RecordType": record, "MessageStream": "outbound", "ServerID": 23,
        "MessageID": "00000000-0000-0000-0000-000000000000", "Metadata": {"delivery_id": REFERENCE}, **more,
    }  # fmt: skip


def bounce(type_, **more):
    return event(
        "Bounce", ID=42, Type=type_, TypeCode=1, Name="Hard bounce", Tag="Test", Email="john@example.com",
        Description="The server was unable to deliver your message.", Details="Test bounce details",
        BouncedAt="2019-11-05T16:33:54.9070259Z", Inactive=False, CanActivate=True, **more,
    )  # fmt: skip


def change(suppress, reason):
    return event(
        "SubscriptionChange", Recipient="john@example.com", ChangedAt="2020-02-01T10:53:34.416071Z", Origin="Recipient",
        SuppressSending=suppress, SuppressionReason=reason,
    )  # fmt: skip


def call(parsed, headers=BASIC, method="POST"):
    body = parsed if isinstance(parsed, bytes) else msgspec.json.encode(parsed)
    return ReceiptCall(method, "https://notify.example/v1/receipts/acme/pm", {}, headers, body)


def read(parsed, account=ACCOUNT):
    return postmark.read_receipts(parsed, account, now_ms=NOW_MS, keys={})


@pytest.mark.parametrize(
    ("parsed", "kind", "reason"),
    [
        (event("Delivery", Recipient="john@example.com", DeliveredAt="2019-11-05T16:33:54.9070259Z", Details="Test"), "delivered", None),
        (bounce("HardBounce"), "bounced", "hard_bounce"),
        (bounce("BadEmailAddress"), "bounced", "hard_bounce"),
        (bounce("ManuallyDeactivated"), "bounced", "hard_bounce"),
        (bounce("SoftBounce"), "bounced", None),
        (bounce("Blocked"), "bounced", None),
        (bounce("DMARCPolicy"), "bounced", None),
        (bounce("SpamNotification"), "bounced", None),
        (bounce("SpamNotification") | {"Inactive": True}, "bounced", "hard_bounce"),
        (bounce("Transient"), "deferred", None),
        (bounce("DnsError"), "deferred", None),
        (bounce("Unsubscribe"), "unsubscribed", "unsubscribed"),
        (bounce("SpamComplaint") | {"RecordType": "SpamComplaint"}, "complained", "complaint"),
        (event("Open", Recipient="john@example.com", ReceivedAt="2019-11-05T16:33:54.9070259Z"), "opened", None),
        (event("Click", Recipient="john@example.com", ReceivedAt="2019-11-05T16:33:54.9070259Z"), "clicked", None),
        (change(True, "ManualSuppression"), "unsubscribed", "unsubscribed"),
        (change(True, "HardBounce"), "unsubscribed", "hard_bounce"),
        (change(True, "SpamComplaint"), "unsubscribed", "complaint"),
    ],
)  # fmt: skip
def test_each_event_means_one_thing(parsed, kind, reason):
    (receipt,) = read(call(parsed))
    assert (receipt.kind, receipt.reference) == (kind, REFERENCE)
    assert receipt.at_ms in (1_572_971_634_907, 1_580_554_414_416)
    assert receipt.suppress == (Suppress("john@example.com", reason) if reason else None)


def test_a_recipient_who_comes_back_is_let_in_again():
    (receipt,) = read(call(change(False, None)))
    assert (receipt.kind, receipt.suppress) == ("resubscribed", Suppress("john@example.com", "unsubscribed", lift=True))


@pytest.mark.parametrize(
    "parsed", [bounce("AutoResponder"), bounce("Subscribe"), event("Inbound"), event("SmtpApiError")]
)
def test_events_of_other_messages_are_ignored(parsed):
    assert read(call(parsed)) == []


def test_a_repeated_call_is_the_same_event_and_another_is_not():
    first, again, other = (read(call(bounce("HardBounce", Subject=s)))[0].event_id for s in ("a", "a", "b"))
    assert first == again != other


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic"},
        {"authorization": "Bearer " + PASSWORD},
        {"authorization": "Basic " + base64.b64encode(f"other:{PASSWORD}".encode()).decode()},
        {"authorization": "Basic " + base64.b64encode(b"postmark:").decode()},
        {"x-webhook-token": "wrong"},
        {"x-webhook-token": ""},
        {"authorization": "Basic \xff"},
    ],
)
def test_who_does_not_know_the_password_is_refused(headers):
    assert isinstance(read(call(bounce("HardBounce"), headers)), Forged)


def test_a_header_with_the_password_does_as_well():
    assert read(call(bounce("HardBounce"), {"x-webhook-token": PASSWORD}))
    assert isinstance(read(call(bounce("HardBounce"), method="GET")), Forged)


@pytest.mark.parametrize("missing", ["webhook_password", "webhook_username"])
def test_without_a_password_nothing_is_taken_and_without_a_name_no_basic(missing):
    account = msgspec.structs.replace(ACCOUNT, credentials={k: v for k, v in CREDENTIALS.items() if k != missing})
    for parsed in (
        call(bounce("HardBounce")),
        call(bounce("HardBounce"), {"authorization": "Basic Og=="}),
        call(b"{}", {}),
    ):
        assert isinstance(read(parsed, account), Forged)


def test_hostile_bodies_never_raise():
    for body in (b"", b"{", b"null", b"[]", b"{}", b'{"RecordType": []}', b"[" * 5_000, b"\xff"):
        assert isinstance(read(call(body)), Unreadable)
    (receipt,) = read(
        call({"RecordType": "Bounce", "Type": {}, "Email": 5.5, "BouncedAt": [], "Metadata": "x", "MessageID": 1})
    )
    assert (receipt.suppress, receipt.at_ms, receipt.reference) == (None, 0, "")


def test_the_reference_goes_along_and_fits():
    message = Message(
        REFERENCE[:52], "ntf_1", "acme", Channel.EMAIL, "ada", "ada@example.com", {"subject": "s", "text": "t"}, 1, 1,
        reference=REFERENCE,
    )  # fmt: skip
    body = msgspec.json.decode(postmark.build(message, ACCOUNT, now_ms=NOW_MS, token=None).body)
    assert body["Metadata"] == {"delivery_id": REFERENCE}
    # Postmark's bound on a value of Metadata.
    assert len(REFERENCE) <= 80
