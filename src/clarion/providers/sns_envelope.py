"""Amazon SNS over HTTPS: the envelope of a message, and the check that Amazon signed it and that it is of the account's
topic.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html; the header and the raw body:
https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html. Signature version 1 is SHA-1, 2 is SHA-256.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from clarion.domain.limits_delivery import RECEIPT_AGE_MS_MAX, RECEIPT_AHEAD_MS_MAX
from clarion.ports.receipts import Forged, NeedKey, ReceiptCall
from clarion.providers.calls import json_of, same

TOPIC_ARN: Final = r"arn:aws[a-z-]{0,16}:sns:[a-z0-9-]{1,32}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?"

SIGNED: Final[dict[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(
        ("SubscriptionConfirmation", "UnsubscribeConfirmation"),
        ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
"""The fields that are signed, by type and in this order; `Subject` only when there is one."""

# The whole URL is matched: a prefix would let `sns.us-east-1.amazonaws.com.evil.example` through.
_HOST: Final = r"https://sns\.[a-z0-9-]{1,32}\.amazonaws\.com(\.cn)?"
_CERTIFICATE: Final = re.compile(_HOST + r"/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem")
_SUBSCRIBE: Final = re.compile(_HOST + r"/\?Action=ConfirmSubscription&[!-~]{1,2000}")


def opened(
    call: ReceiptCall, topic_arn: str, *, now_ms: int, keys: Mapping[str, bytes]
) -> dict[str, str] | Forged | NeedKey:
    """Return the fields of a call that Amazon signed for this topic, `NeedKey` when its certificate is not among
    `keys`, else `Forged`. The cheap checks come before the request for a certificate."""
    body = json_of(call.body)
    if call.method != "POST" or not isinstance(body, dict):
        return Forged("the body is no SNS message")
    fields = {name: value for name, value in body.items() if isinstance(value, str)}
    names = SIGNED.get(fields.get("Type", ""))
    if names is None or any(name not in fields for name in names if name != "Subject"):
        return Forged("the body is no SNS message")
    if not same(fields["TopicArn"], topic_arn):
        return Forged("TopicArn is not topic_arn")
    sent_ms = iso_ms(fields["Timestamp"])
    if not now_ms - RECEIPT_AGE_MS_MAX <= sent_ms <= now_ms + RECEIPT_AHEAD_MS_MAX:
        return Forged("Timestamp is too old, or ahead")
    url = fields.get("SigningCertURL", "")
    if not _CERTIFICATE.fullmatch(url):
        return Forged("SigningCertURL is not Amazon's")
    if url not in keys:
        return NeedKey(url)
    text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    return fields if _is_signed(text, fields, keys[url], now_ms) else Forged("the signature does not match")


def confirm_url(fields: Mapping[str, str]) -> str:
    """Return the URL that confirms a subscription, "" when it is not Amazon's."""
    url = fields.get("SubscribeURL", "")
    return url if _SUBSCRIBE.fullmatch(url) else ""


def iso_ms(text: Any) -> int:
    """Return an ISO 8601 time in Unix milliseconds, 0 when it is none. Without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
        return max(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000), 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def _is_signed(text: str, fields: Mapping[str, str], pem: bytes, now_ms: int) -> bool:
    kinds = {"1": SHA1(), "2": SHA256()}  # noqa: S303 - version 1 is Amazon's default
    kind = kinds.get(fields.get("SignatureVersion", ""))
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key, signature = certificate.public_key(), base64.b64decode(fields.get("Signature", ""), validate=True)
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        if kind is None or not valid or not isinstance(key, rsa.RSAPublicKey):
            return False
        key.verify(signature, text.encode(errors="replace"), padding.PKCS1v15(), kind)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
