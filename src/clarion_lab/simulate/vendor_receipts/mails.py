"""SendGrid, Mailgun, Postmark, and SES through SNS.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features,
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks,
https://postmarkapp.com/developer/webhooks/webhooks-overview,
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html and
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendor_receipts.events import Hook, Mail, ReceiptEvent, ReceiptFormat, json_hook, place
from clarion_lab.simulate.vendors.amazon import REGION
from clarion_lab.simulate.vendors.emails import SENDER
from clarion_lab.simulate.vendors.script import Account, Secrets, form_of, json_of

SES_TOPIC: Final = f"arn:aws:sns:{REGION}:123456789012:simulator"
SES_CERTIFICATE_URL: Final = f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService-simulator.pem"
POSTMARK_USER: Final = "caller-of-receipts"
_KEY_BITS: Final = 2048
_CERTIFICATE_DAYS: Final = 365
_NO_MAILBOX: Final = "550 5.1.1 The email account that you tried to reach does not exist"
_SENDGRID_EVENTS: Final = {
    "sent": "processed",
    "delivered": "delivered",
    "bounced": "bounce",
    "complained": "spamreport",
}
_SES_EVENTS: Final = {"sent": "Send", "delivered": "Delivery", "bounced": "Bounce", "complained": "Complaint"}
_POSTMARK_RECORDS: Final = {"delivered": "Delivery", "bounced": "Bounce", "complained": "SpamComplaint"}


def _sendgrid_back(request: Request, index: int) -> dict[str, Any]:
    body = json_of(request)
    return dict(place(body["personalizations"], index).get("custom_args") or body.get("custom_args") or {})


def _sendgrid(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    if receipt_event not in _SENDGRID_EVENTS:
        return []
    event = {
        "email": mail.to, "timestamp": int(at_s), "smtp-id": f"<{mail.id}@geopod-ismtpd-1>", "event": _SENDGRID_EVENTS[receipt_event],
        "sg_event_id": secrets.hex(f"sendgrid {mail.id} {mail.to} {receipt_event}"),
        "sg_message_id": f"{mail.id}.recvd-7d4c9f7c9b-abcde-1-6537A0F6-1A.0", **mail.back,
    }  # fmt: skip
    if receipt_event == "bounced":
        event |= {
            "type": "bounce",
            "status": "5.1.1",
            "reason": _NO_MAILBOX,
            "bounce_classification": "Invalid Address",
        }
    # SendGrid ends its batches in CRLF, which the signature covers.
    body, stamp = b"[" + msgspec.json.encode(event) + b"]\r\n", str(int(at_s))
    signature = secrets.key("sendgrid events").sign(stamp.encode() + body, ec.ECDSA(SHA256()))
    headers = {
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": stamp,
    }
    return [json_hook(url, None, headers, body=body)]


def _mailgun_back(request: Request, index: int) -> dict[str, Any]:
    form = form_of(request)
    variables = msgspec.json.decode(form.get("recipient-variables", "{}"))
    own = variables.get(form["to"].split(", ")[index], {}) if variables else {}
    back = {}
    for name, value in form.items():
        if name.startswith("v:"):
            given = own.get(value.removeprefix("%recipient.").removesuffix("%")) if value.startswith("%") else None
            back[name[2:]] = value if given is None else given
    return back


def _mailgun(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    events = {"sent": "accepted", "delivered": "delivered", "bounced": "failed", "complained": "complained"}
    if receipt_event not in events:
        return []
    data: dict[str, Any] = {
        "event": events[receipt_event], "id": secrets.hex(f"mailgun {mail.id} {mail.to} {receipt_event}", 22), "timestamp": at_s,
        "recipient": mail.to, "message": {"headers": {"message-id": mail.id, "to": mail.to, "from": SENDER}},
        "user-variables": mail.back, "tags": [], "log-level": "info",
    }  # fmt: skip
    if receipt_event == "bounced":
        status = {"code": 550, "enhanced-code": "5.1.1", "message": _NO_MAILBOX, "attempt-no": 1}
        data |= {"severity": "permanent", "reason": "bounce", "delivery-status": status, "log-level": "error"}
    stamp, token = str(int(at_s)), secrets.hex(f"mailgun token {mail.id} {mail.to} {receipt_event}", 50)
    key = secrets.hex("mailgun signing", 32).encode()
    signature = hmac.new(key, (stamp + token).encode(), hashlib.sha256).hexdigest()
    return [
        json_hook(
            url, {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": data}, {}
        )
    ]


def _postmark_back(request: Request, index: int) -> dict[str, Any]:
    body = json_of(request)
    return dict((place(body, index) if isinstance(body, list) else body).get("Metadata") or {})


def _postmark(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    if receipt_event not in _POSTMARK_RECORDS:
        return []
    moment = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    record: dict[str, Any] = {
        "RecordType": _POSTMARK_RECORDS[receipt_event], "MessageID": mail.id, "MessageStream": "outbound", "ServerID": 23,
        "Metadata": mail.back, "Tag": "",
    }  # fmt: skip
    if receipt_event == "delivered":
        record |= {"Recipient": mail.to, "DeliveredAt": moment, "Details": "smtp;250 2.0.0 OK"}
    else:
        kind = ("HardBounce", 1) if receipt_event == "bounced" else ("SpamComplaint", 512)
        record |= {
            "ID": int(secrets.hex(f"postmark {mail.id} {receipt_event}", 8), 16), "Type": kind[0], "TypeCode": kind[1], "Email": mail.to,
            "From": SENDER, "BouncedAt": moment, "Details": _NO_MAILBOX, "Inactive": True, "DumpAvailable": False,
            "CanActivate": receipt_event == "bounced", "Name": "Hard bounce", "Description": "The server was unable to deliver.",
        }  # fmt: skip
    basic = base64.b64encode(f"{POSTMARK_USER}:{secrets.hex('postmark hook')}".encode()).decode()
    return [json_hook(url, record, {"authorization": f"Basic {basic}", "user-agent": "Postmark"})]


def _ses_back(request: Request, index: int) -> dict[str, Any]:
    body = json_of(request)
    entry = place(body["BulkEmailEntries"], index) if "BulkEmailEntries" in body else {}
    tags = body.get("EmailTags") or body.get("DefaultEmailTags") or []
    return {tag["Name"]: [tag["Value"]] for tag in [*tags, *entry.get("ReplacementTags", [])]}


def _ses(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    if receipt_event not in _SES_EVENTS:
        return []
    moment = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    event: dict[str, Any] = {
        "eventType": _SES_EVENTS[receipt_event],
        "mail": {
            "timestamp": moment, "source": SENDER, "sendingAccountId": "123456789012", "messageId": mail.id,
            "destination": [mail.to], "headersTruncated": False, "tags": mail.back,
        },
    }  # fmt: skip
    seen = secrets.hex(f"ses {mail.id} {receipt_event}")
    if receipt_event == "delivered":
        event["delivery"] = {"timestamp": moment, "recipients": [mail.to], "smtpResponse": "250 2.0.0 OK"}
    elif receipt_event == "bounced":
        who = {"emailAddress": mail.to, "action": "failed", "status": "5.1.1", "diagnosticCode": f"smtp; {_NO_MAILBOX}"}
        event["bounce"] = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [who]}
        event["bounce"] |= {"timestamp": moment, "feedbackId": seen}
    elif receipt_event == "complained":
        event["complaint"] = {
            "complainedRecipients": [{"emailAddress": mail.to}],
            "timestamp": moment,
            "feedbackId": seen,
        }
    else:
        event["send"] = {}
    envelope = {
        "Type": "Notification", "MessageId": str(UUID(secrets.hex(f"sns {mail.id} {receipt_event}"))), "TopicArn": SES_TOPIC,
        "Subject": "Amazon SES Email Event Notification", "Message": msgspec.json.encode(event).decode(), "Timestamp": moment,
    }  # fmt: skip
    line = "".join(f"{name}\n{envelope[name]}\n" for name in sorted(envelope))
    signature = _sns_key().sign(line.encode(), padding.PKCS1v15(), SHA256())
    signed = {
        "SignatureVersion": "2",
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": SES_CERTIFICATE_URL,
    }
    headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
    return [json_hook(url, envelope | signed, headers | {"x-amz-sns-topic-arn": SES_TOPIC})]


@lru_cache(maxsize=1)
def _sns_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=_KEY_BITS)


@lru_cache(maxsize=1)
def ses_certificate() -> bytes:
    """Return the certificate (PEM) of `SES_CERTIFICATE_URL`, which cannot be fetched: the host is AWS's."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"sns.{REGION}.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, _sns_key().public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
    return made.sign(_sns_key(), SHA256()).public_bytes(Encoding.PEM)


def _sendgrid_account(secrets: Secrets) -> Account:
    public = secrets.key("sendgrid events").public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"settings": {"webhook_public_key": base64.b64encode(der).decode()}}


def _mailgun_account(secrets: Secrets) -> Account:
    return {"credentials": {"webhook_signing_key": secrets.hex("mailgun signing", 32)}}


def _postmark_account(secrets: Secrets) -> Account:
    return {"credentials": {"webhook_username": POSTMARK_USER, "webhook_password": secrets.hex("postmark hook")}}


def _ses_account(secrets: Secrets) -> Account:
    return {"settings": {"topic_arn": SES_TOPIC}}


RECEIPT_FORMATS: Final = {
    "sendgrid": ReceiptFormat(_sendgrid_back, _sendgrid, _sendgrid_account),
    "mailgun": ReceiptFormat(_mailgun_back, _mailgun, _mailgun_account),
    "postmark": ReceiptFormat(_postmark_back, _postmark, _postmark_account),
    "ses": ReceiptFormat(_ses_back, _ses, _ses_account),
}
