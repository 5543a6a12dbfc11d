"""SES's delivery receipts, by the records of its documentation."""

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import Message
from clarion.ports.receipts import Forged, Handshake, NeedKey, Suppress, Unreadable
from clarion.providers.email import ses
from tests.providers import test_sns_envelope as sns

REFERENCE = "dlv_" + "0190" * 12 + "-" + "ab" * 8 + "-3e7"
SETTINGS = {"topic_arn": sns.TOPIC, "region": "us-west-2", "from_email": "news@shop.example"}
ACCOUNT = Account(
    "acme", "ses", Channel.EMAIL, "ses", 0, SETTINGS, {"access_key_id": "A" * 20, "secret_access_key": "b" * 40}
)

MAIL = {
    "timestamp": "2017-08-05T00:40:02.012Z",
    "source": "Sender Name <sender@example.com>",
    "messageId": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
    "destination": ["recipient@example.com"],
    "tags": {"ses:configuration-set": ["ConfigSet"], "delivery_id": [REFERENCE]},
}
BOUNCE = {
    "bounceType": "Permanent",
    "bounceSubType": "General",
    "bouncedRecipients": [
        {
            "emailAddress": "recipient@example.com", "action": "failed", "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 user unknown",
        }
    ],
    "timestamp": "2017-08-05T00:41:02.669Z",
    "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000",
    "reportingMTA": "dsn; mta.example.com",
}  # fmt: skip
COMPLAINT = {
    "complainedRecipients": [{"emailAddress": "recipient@example.com"}],
    "timestamp": "2017-08-05T00:41:02.669Z",
    "complaintFeedbackType": "abuse",
}


def read(event, account=ACCOUNT, keys=None):
    text = event if isinstance(event, str) else msgspec.json.encode(event).decode()
    call = sns.call(sns.signed(sns.notification(text)))
    return ses.read_receipts(
        call, account, now_ms=sns.NOW_MS, keys={sns.CERTIFICATE_URL: sns.PEM} if keys is None else keys
    )


def event(name, object_, parsed, key="eventType", **mail):
    return {key: name, object_: parsed, "mail": {**MAIL, **mail}}


def test_a_hard_bounce_suppresses_and_names_its_delivery():
    (receipt,) = read(event("Bounce", "bounce", BOUNCE))
    assert (receipt.kind, receipt.reference, receipt.vendor_message_id) == ("bounced", REFERENCE, MAIL["messageId"])
    assert receipt.suppress == Suppress("recipient@example.com", "hard_bounce")
    assert receipt.at_ms == 1_501_893_662_669
    assert receipt.detail == "Permanent General 5.1.1 smtp; 550 5.1.1 user unknown"


@pytest.mark.parametrize(
    ("name", "object_", "parsed", "kind", "reason"),
    [
        ("Bounce", "bounce", BOUNCE | {"bounceSubType": "OnAccountSuppressionList"}, "bounced", "hard_bounce"),
        ("Bounce", "bounce", BOUNCE | {"bounceType": "Transient", "bounceSubType": "MailboxFull"}, "bounced", None),
        ("Bounce", "bounce", BOUNCE | {"bounceType": "Undetermined"}, "bounced", None),
        ("Complaint", "complaint", COMPLAINT, "complained", "complaint"),
        ("Complaint", "complaint", COMPLAINT | {"complaintFeedbackType": "not-spam"}, "complained", None),
        ("Delivery", "delivery", {"recipients": ["recipient@example.com"], "smtpResponse": "250 OK"}, "delivered", None),
        ("DeliveryDelay", "deliveryDelay", {"delayType": "TransientCommunicationFailure",
         "delayedRecipients": [{"emailAddress": "recipient@example.com", "status": "4.4.1"}]}, "deferred", None),
        ("Open", "open", {"ipAddress": "192.0.2.1"}, "opened", None),
        ("Click", "click", {"link": "http://docs.aws.amazon.com/"}, "clicked", None),
        ("Reject", "reject", {"reason": "Bad content"}, "bounced", None),
        ("Rendering Failure", "failure", {"errorMessage": "Attribute 'x' is not present"}, "bounced", None),
        ("Subscription", "subscription", {"newTopicPreferences": {"unsubscribeAll": True}}, "unsubscribed", "unsubscribed"),
    ],
)  # fmt: skip
def test_each_event_means_one_thing(name, object_, parsed, kind, reason):
    (receipt,) = read(event(name, object_, parsed))
    assert receipt.kind == kind
    assert receipt.suppress == (Suppress("recipient@example.com", reason) if reason else None)


def test_feedback_of_an_identity_is_found_by_the_id_of_ses():
    (receipt,) = read(event("Complaint", "complaint", COMPLAINT, key="notificationType", tags=None))
    assert (receipt.kind, receipt.reference, receipt.vendor_message_id) == ("complained", "", MAIL["messageId"])


def test_every_recipient_of_an_event_has_a_receipt_of_its_own():
    people = [{"emailAddress": f"user-{n}@example.com"} for n in range(3)]
    receipts = read(event("Bounce", "bounce", BOUNCE | {"bouncedRecipients": people}))
    assert [receipt.suppress.address for receipt in receipts] == [one["emailAddress"] for one in people]
    assert len({receipt.event_id for receipt in receipts}) == 3


@pytest.mark.parametrize(
    "quiet",
    [
        event("Send", "send", {}),
        event("Subscription", "subscription", {"newTopicPreferences": {"unsubscribeAll": False}}),
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "[]",
        "{}",
    ],
)
def test_irrelevant_events_are_accepted_and_ignored(quiet):
    assert read(quiet) == []


def test_a_new_kind_of_event_cannot_be_read():
    assert isinstance(read(event("Teleported", "teleport", {})), Unreadable)


def test_hostile_events_never_raise():
    for hostile in ({"eventType": "Bounce"}, {"eventType": "Bounce", "bounce": 1, "mail": []}, {"eventType": ["x"]},
                    event("Bounce", "bounce", {"bouncedRecipients": [1, None, {"emailAddress": {}}]}, tags={"delivery_id": {}}),
                    event("Delivery", "delivery", {"recipients": "x", "timestamp": 5}, destination=3)):  # fmt: skip
        read(hostile)


def test_a_subscription_of_our_topic_is_confirmed():
    parsed = ses.read_receipts(
        sns.call(sns.signed(sns.confirmation())), ACCOUNT, now_ms=sns.NOW_MS, keys={sns.CERTIFICATE_URL: sns.PEM}
    )
    assert parsed == Handshake(confirm_url=sns.confirmation()["SubscribeURL"])
    other = msgspec.structs.replace(ACCOUNT, settings={"topic_arn": sns.TOPIC + "x"})
    assert isinstance(
        ses.read_receipts(sns.call(sns.signed(sns.confirmation())), other, now_ms=sns.NOW_MS, keys={}), Forged
    )


def test_without_a_topic_nothing_is_taken_and_a_key_is_asked_for_first():
    assert isinstance(read(event("Send", "send", {}), msgspec.structs.replace(ACCOUNT, settings={})), Forged)
    assert read(event("Send", "send", {}), keys={}) == NeedKey(sns.CERTIFICATE_URL)


def test_the_reference_goes_along_and_fits_a_tag():
    message = Message(
        REFERENCE[:52], "ntf_1", "acme", Channel.EMAIL, "ada", "ada@example.com", {"subject": "s", "text": "t"}, 1, 1,
        reference=REFERENCE,
    )  # fmt: skip
    body = msgspec.json.decode(ses.build(message, ACCOUNT, now_ms=sns.NOW_MS, token=None).body)
    assert body["EmailTags"] == [{"Name": "delivery_id", "Value": REFERENCE}]
    assert len(REFERENCE) <= 256 and REFERENCE.replace("_", "").replace("-", "").isalnum()
