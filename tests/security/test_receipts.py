"""Unauthenticated calls to the receipts endpoint: no vendor's reader raises, trusts them or discloses secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.content import Account
from clarion.ports.receipts import Forged, NeedKey, ReceiptCall
from clarion.providers import catalogue

NOW_MS = 1_790_000_000_000
VENDORS = {vendor.TRAITS.vendor: vendor for vendor in catalogue.load().values() if vendor.TRAITS.receipts}
TOPIC = "arn:aws:sns:us-west-2:123456789012:MyTopic"
SECRETS = {field.name: f"canary-{field.name}" for vendor in VENDORS.values() for field in vendor.TRAITS.credentials}
SETTINGS = {"topic_arn": TOPIC, "webhook_public_key": "canary"}
HEADERS = (
    "authorization", "x-webhook-token", "x-hub-signature-256", "x-twilio-signature", "x-termii-signature",
    "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp", "content-type",
)  # fmt: skip
NAMES = ("Type", "TopicArn", "Message", "MessageId", "Timestamp", "SigningCertURL", "Signature", "SignatureVersion", "signature",
         "event-data", "timestamp", "token", "RecordType", "sig", "entry", "object", "MessageSid", "Body", "From", "err-code")  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([TOPIC, "Notification", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=8,
)
texts = st.text(max_size=30)
bodies = st.binary(max_size=60) | st.builds(
    lambda value: json.dumps(value).encode(), st.dictionaries(st.sampled_from(NAMES), values, max_size=10)
)
calls = st.builds(
    lambda method, query, headers, body: ReceiptCall(
        method, f"https://notify.example/v1/receipts/acme/x?{query}", {"hub.mode": query}, headers, body
    ),
    st.sampled_from(["GET", "POST"]),
    texts,
    st.dictionaries(st.sampled_from(HEADERS), texts, max_size=4),
    bodies,
)


def account(vendor, credentials=SECRETS, settings=SETTINGS):
    return Account("acme", "x", vendor.TRAITS.channels[0], vendor.TRAITS.vendor, 0, settings, credentials)


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("name", sorted(VENDORS))
def test_a_strangers_call_is_refused_without_a_word_of_what_is_secret(name):
    vendor = VENDORS[name]

    @given(calls)
    def refused(call):
        result = vendor.read_receipts(call, account(vendor), now_ms=NOW_MS, keys={})
        assert isinstance(result, Forged | NeedKey)
        assert "canary" not in repr(result)
        if isinstance(result, NeedKey):
            assert result.url.startswith("https://sns.")

    refused()


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("name", sorted(VENDORS))
def test_without_a_secret_nothing_is_believed(name):
    vendor = VENDORS[name]

    @given(calls)
    def refused(call):
        result = vendor.read_receipts(call, account(vendor, {}, {}), now_ms=NOW_MS, keys={})
        assert isinstance(result, Forged), result

    refused()


def test_the_vendors_with_receipts_are_those_of_the_pages():
    assert set(VENDORS) == {"ses", "sendgrid", "mailgun", "postmark", "twilio", "vonage", "termii", "whatsapp"}
