"""Twilio, Vonage, Termii and WhatsApp.

https://www.twilio.com/docs/usage/webhooks/webhooks-security,
https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts and .../getting-started/concepts/signing-messages,
https://developer.termii.com/events-and-reports,
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendor_receipts.events import Hook, Mail, ReceiptEvent, ReceiptFormat, digits, json_hook
from clarion_lab.simulate.vendors.script import Account, Secrets, form_of, json_of, path_of

_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_STOP: Final = "STOP"


def _twilio_back(request: Request, index: int) -> dict[str, Any]:
    form = form_of(request)
    sender = form.get("From") or form.get("MessagingServiceSid", "")
    return {"account": path_of(request).split("/")[3], "sender": sender, "url": form.get("StatusCallback", "")}


def _twilio(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    base = {"AccountSid": mail.back["account"], "ApiVersion": "2010-04-01", "MessageSid": mail.id, "SmsSid": mail.id}
    statuses = {"sent": "sent", "delivered": "delivered", "bounced": "undelivered"}
    if receipt_event == "stop":
        own = "SM" + secrets.hex(f"inbound {mail.id}")
        form = base | {
            "MessageSid": own, "SmsSid": own, "SmsMessageSid": own, "SmsStatus": "received", "From": mail.to, "To": mail.back["sender"],
            "Body": _STOP, "NumMedia": "0", "NumSegments": "1", "OptOutType": "STOP",
        }  # fmt: skip
    elif receipt_event in statuses:
        form = base | {"From": mail.back["sender"], "To": mail.to, "MessageStatus": statuses[receipt_event]}
        form["SmsStatus"] = form["MessageStatus"]
        form |= (
            {"ErrorCode": "30005", "ErrorMessage": "Unknown destination handset"} if receipt_event == "bounced" else {}
        )
    else:
        return []
    # Statuses are sent to the callback URL of the message, inbound messages to the URL of the number.
    target = mail.back["url"] if receipt_event != "stop" and mail.back["url"] else url
    line = target + "".join(f"{name}{form[name]}" for name in sorted(form))
    signature = base64.b64encode(hmac.digest(secrets.hex("twilio secret").encode(), line.encode(), "sha1")).decode()
    return [Hook(target, _FORM | {"x-twilio-signature": signature}, urlencode(form).encode())]


def _vonage_back(request: Request, index: int) -> dict[str, Any]:
    form = form_of(request)
    return {"key": form["api_key"], "sender": form["from"], "reference": form.get("client-ref", "")}


def _vonage(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    moment = datetime.fromtimestamp(at_s, UTC)
    form: dict[str, str] = {
        "api-key": mail.back["key"], "msisdn": digits(mail.to), "to": mail.back["sender"],
        "message-timestamp": moment.strftime("%Y-%m-%d %H:%M:%S"), "timestamp": str(int(at_s)),
        "nonce": secrets.hex(f"nonce {mail.id} {receipt_event}"),
    }  # fmt: skip
    if receipt_event == "stop":
        form |= {"messageId": secrets.hex(f"inbound {mail.id}"), "text": _STOP, "keyword": _STOP, "type": "text"}
    elif receipt_event in ("delivered", "bounced"):
        code, status = ("3", "failed") if receipt_event == "bounced" else ("0", "delivered")
        form |= {
            "messageId": mail.id, "network-code": "26201", "price": "0.03330000", "status": status, "err-code": code,
            "scts": moment.strftime("%y%m%d%H%M"), "client-ref": mail.back["reference"],
        }  # fmt: skip
    else:
        return []
    line = "".join(f"&{name}={form[name].replace('&', '_').replace('=', '_')}" for name in sorted(form))
    form["sig"] = hmac.new(secrets.hex("vonage signature", 48).encode(), line.encode(), hashlib.sha256).hexdigest()
    return [json_hook(url, form, {})]


def _termii_back(request: Request, index: int) -> dict[str, Any]:
    body = json_of(request)
    return {"sender": body["from"], "text": body["sms"], "channel": body.get("channel", "generic")}


def _termii(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    statuses = {"sent": "Message Sent", "delivered": "DELIVERED", "bounced": "Message Failed"}
    event: dict[str, Any] = {
        "id": secrets.hex(f"termii {mail.id} {receipt_event}"), "message_id": mail.id, "cost": "3.2", "channel": mail.back["channel"],
        "sent_at": datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S"),
    }  # fmt: skip
    if receipt_event == "stop":
        event |= {"type": "inbound", "message_id": secrets.hex(f"inbound {mail.id}"), "message": _STOP}
        event |= {"sender": digits(mail.to), "receiver": mail.back["sender"], "status": "Received"}
    elif receipt_event in statuses:
        event |= {"type": "outbound", "sender": mail.back["sender"], "receiver": digits(mail.to)}
        event |= {"message": mail.back["text"], "status": statuses[receipt_event]}
    else:
        return []
    body = msgspec.json.encode(event)
    signature = hmac.new(secrets.hex("termii secret", 40).encode(), body, hashlib.sha512).hexdigest()
    return [json_hook(url, None, {"x-termii-signature": signature}, body=body)]


def _whatsapp_back(request: Request, index: int) -> dict[str, Any]:
    return {"number": path_of(request).split("/")[2], "reference": json_of(request).get("biz_opaque_callback_data", "")}


def _whatsapp(mail: Mail, receipt_event: ReceiptEvent, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "14155550199", "phone_number_id": mail.back["number"]},
    }
    person, when = digits(mail.to), str(int(at_s))
    if receipt_event == "stop":
        answer = {"from": person, "id": f"wamid.{secrets.hex(f'inbound {mail.id}')}", "timestamp": when}
        value["contacts"] = [{"profile": {"name": "Ada Grüße"}, "wa_id": person}]
        value["messages"] = [answer | {"text": {"body": _STOP}, "type": "text"}]
    elif receipt_event in ("sent", "delivered", "read", "bounced"):
        status: dict[str, Any] = {"id": mail.id, "status": receipt_event, "timestamp": when, "recipient_id": person}
        if receipt_event == "bounced":
            status["status"] = "failed"
            words = "Message undeliverable"
            error = {
                "code": 131026,
                "title": words,
                "message": words,
                "error_data": {"details": "Message Undeliverable."},
            }
            status["errors"] = [error]
        if mail.back["reference"]:
            status["biz_opaque_callback_data"] = mail.back["reference"]
        value["statuses"] = [status]
    else:
        return []
    change = {"value": value, "field": "messages"}
    entry = {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}
    # Meta writes characters beyond ASCII, and slashes, as escapes, and signs the escaped text.
    text = msgspec.json.encode(entry).decode().replace("/", "\\/")
    body = "".join(letter if letter < "\x80" else f"\\u{ord(letter):04x}" for letter in text).encode()
    signature = hmac.new(secrets.hex("whatsapp app", 32).encode(), body, hashlib.sha256).hexdigest()
    return [json_hook(url, None, {"x-hub-signature-256": f"sha256={signature}"}, body=body)]


def _termii_account(secrets: Secrets) -> Account:
    return {"credentials": {"secret_key": secrets.hex("termii secret", 40)}}


def _whatsapp_account(secrets: Secrets) -> Account:
    verify = secrets.hex("whatsapp verify", 32)
    return {"credentials": {"app_secret": secrets.hex("whatsapp app", 32), "verify_token": verify}}


RECEIPT_FORMATS: Final = {
    "twilio": ReceiptFormat(_twilio_back, _twilio),
    "vonage": ReceiptFormat(_vonage_back, _vonage),
    "termii": ReceiptFormat(_termii_back, _termii, _termii_account),
    "whatsapp": ReceiptFormat(_whatsapp_back, _whatsapp, _whatsapp_account),
}
"""Twilio and Vonage sign with the credentials for sending, so their accounts need no more values."""
