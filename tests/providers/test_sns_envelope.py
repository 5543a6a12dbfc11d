"""Messages of SNS are accepted only with Amazon's signature: by a second implementation of its rules, with test keys."""

import base64
import datetime

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from clarion.ports.receipts import Forged, NeedKey, ReceiptCall
from clarion.providers import sns_envelope
from tests.made_once import rsa_key

TOPIC = "arn:aws:sns:us-west-2:123456789012:MyTopic"
NOW_MS = 1_790_000_000_000
CERTIFICATE_URL = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"
KEY = rsa_key()


def at(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


def certificate(key=KEY, until_ms=NOW_MS + 10**9):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(at(NOW_MS - 10**9)).not_valid_after(at(until_ms))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


PEM = certificate()


def signed(fields, key=KEY, version="1"):
    """Sign as the documentation describes: names in byte order, each with its value on a line of its own."""
    kind = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303
    wanted = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    if fields["Type"] == "Notification":
        wanted = [name for name in wanted if name not in ("SubscribeURL", "Token")]
    text = ""
    for name in sorted(wanted):
        if name in fields:
            text += name + "\n" + fields[name] + "\n"
    signature = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), kind)).decode()
    return {**fields, "SignatureVersion": version, "Signature": signature, "SigningCertURL": CERTIFICATE_URL}


def notification(message="My first message!", **more):
    stamp = at(NOW_MS - 60_000).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC,
        "Message": message, "Timestamp": stamp, "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
        **more,
    }  # fmt: skip


def confirmation(**more):
    url = f"https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
    return notification("You have chosen to subscribe.", Type="SubscriptionConfirmation", Token="2336412f37",
                        SubscribeURL=url, **more)  # fmt: skip


def call(fields, method="POST"):
    body = fields if isinstance(fields, bytes) else msgspec.json.encode(fields)
    return ReceiptCall(method, "https://notify.example/v1/receipts/acme/ses", {}, {"content-type": "text/plain"}, body)


def opened(fields, keys=None, topic=TOPIC, now_ms=NOW_MS):
    return sns_envelope.opened(
        call(fields), topic, now_ms=now_ms, keys={CERTIFICATE_URL: PEM} if keys is None else keys
    )


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "fields", [notification(), notification(Subject="Hi"), confirmation()], ids=["plain", "subject", "confirm"]
)
def test_what_amazon_signed_is_opened(fields, version):
    assert opened(signed(fields, version=version))["MessageId"] == fields["MessageId"]


@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "Subject", "SignatureVersion", "Signature"])
def test_any_change_is_noticed(name):
    fields = signed(notification(Subject="Hi"))
    changed = (
        "2" if name == "SignatureVersion" else at(NOW_MS).isoformat() if name == "Timestamp" else fields[name] + "x"
    )
    assert isinstance(opened({**fields, name: changed}), Forged)


def test_a_subject_that_was_added_is_noticed():
    assert isinstance(opened({**signed(notification()), "Subject": "free money"}), Forged)


def test_another_topic_is_refused_before_any_key_is_fetched():
    other = signed(notification(TopicArn=TOPIC + "2"))
    assert isinstance(opened(other, keys={}), Forged)
    assert opened(signed(notification()), keys={}) == NeedKey(CERTIFICATE_URL)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3.pem",
        "https://sns.us-west-2.amazonaws.com.evil.example/SimpleNotificationService-f3.pem",
        "https://evil.example/sns.us-west-2.amazonaws.com/SimpleNotificationService-f3.pem",
        "https://sns.us-west-2.amazonaws.com@evil.example/SimpleNotificationService-f3.pem",
        "https://evil.example#sns.us-west-2.amazonaws.com/SimpleNotificationService-f3.pem",
        "https://snsXus-west-2.amazonaws.com/SimpleNotificationService-f3.pem",
        "https://s3.us-west-2.amazonaws.com/SimpleNotificationService-f3.pem",
        "https://sns.us-west-2.amazonaws.com/bucket/../SimpleNotificationService-f3.pem",
        "https://sns.us-west-2.amazonaws.com:8443/SimpleNotificationService-f3.pem",
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3.pem?x=1",
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3.pem\n",
        "",
    ],
)
def test_keys_come_from_amazon_alone(url):
    fields = {**signed(notification()), "SigningCertURL": url}
    assert isinstance(opened(fields, keys={url: PEM}), Forged)
    assert isinstance(opened(fields, keys={}), Forged)


def test_china_has_a_domain_of_its_own():
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-f3.pem"
    assert opened({**signed(notification()), "SigningCertURL": url}, keys={}) == NeedKey(url)


@pytest.mark.parametrize(
    "pem", [b"", b"junk", PEM[:-200], certificate(until_ms=NOW_MS - 1)], ids=["none", "junk", "cut", "over"]
)
def test_a_certificate_that_is_none_or_over_proves_nothing(pem):
    assert isinstance(opened(signed(notification()), keys={CERTIFICATE_URL: pem}), Forged)


def test_another_key_proves_nothing():
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    assert isinstance(opened(signed(notification(), key=other)), Forged)


@pytest.mark.parametrize("age_ms", [-11 * 60_000, 4 * 24 * 3600_000])
def test_old_messages_and_those_ahead_are_refused(age_ms):
    assert isinstance(opened(signed(notification()), now_ms=NOW_MS - 60_000 + age_ms), Forged)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"[" * 5_000, b'{"Type": 1}', b'{"Type": "Notification"}', b"\xff"]
)
def test_other_bodies_are_refused(body):
    assert isinstance(opened(body), Forged)


def test_a_confirmation_is_got_from_amazon_alone():
    assert sns_envelope.confirm_url(confirmation()).startswith("https://sns.us-west-2.amazonaws.com/?Action=Confirm")
    for url in (
        "https://evil.example/?Action=ConfirmSubscription&a",
        "https://sns.us-west-2.amazonaws.com/?Action=DeleteTopic&a",
        "",
    ):
        assert sns_envelope.confirm_url({"SubscribeURL": url}) == ""
