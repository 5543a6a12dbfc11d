"""Twilio, Vonage and Termii; their responses are copied from the pages that their vendor modules name."""

import hashlib
import hmac
from typing import Final

import msgspec

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import (
    Account,
    Secrets,
    VendorAnswer,
    VendorCall,
    VendorScript,
    basic,
    form_of,
    json_of,
    path_of,
    text_key,
    text_of,
)


def _twilio(status: int, code: int, words: str, *, retry_after: bool = False) -> VendorAnswer:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = f'{{"code":{code},"message":"{words}","more_info":"{more}","status":{status}}}'
    return VendorAnswer(status, body, retry_after=retry_after)


def _vonage(status: int, words: str) -> VendorAnswer:
    return VendorAnswer(200, f'{{"message-count":"1","messages":[{{"status":"{status}","error-text":"{words}"}}]}}')


def _termii(status: int, words: str, *, retry_after: bool = False) -> VendorAnswer:
    body = f'{{"code":{status},"message":"{words}","status":"error"}}'
    return VendorAnswer(status, body, retry_after=retry_after)


_TWILIO: Final = {
    Answer.ACCEPTED: VendorAnswer(
        201,
        '{"sid":"$id","to":"$to","status":"queued","num_segments":"1","price":null,"error_code":null,'
        '"error_message":null}',
    ),
    Answer.THROTTLE: _twilio(429, 20429, "Too Many Requests", retry_after=True),
    Answer.ERROR_500: _twilio(500, 20500, "Internal Server Error"),
    Answer.INVALID_TOKEN: _twilio(400, 21211, "The 'To' number $to is not a valid phone number."),
    Answer.UNAUTHENTICATED: _twilio(401, 20003, "Authenticate"),
    Answer.MALFORMED: _twilio(400, 21602, "Message body is required."),
}
_VONAGE: Final = {
    Answer.ACCEPTED: VendorAnswer(
        200,
        '{"message-count":"1","messages":[{"to":"$to","message-id":"$id","status":"0","remaining-balance":"3.14",'
        '"message-price":"0.03","network":"26201"}]}',
    ),
    Answer.THROTTLE: _vonage(1, "Throughput Rate Exceeded - please wait [ 250 ] and retry"),
    Answer.ERROR_500: _vonage(5, "Internal Error"),
    Answer.INVALID_TOKEN: _vonage(7, "Number barred"),
    Answer.UNAUTHENTICATED: _vonage(4, "Bad Credentials"),
    Answer.MALFORMED: _vonage(2, "Missing Message Body"),
}
_UNSIGNED: Final = _vonage(14, "Invalid Signature")
_TERMII: Final = {
    Answer.ACCEPTED: VendorAnswer(
        200,
        '{"code":"ok","balance":18599.65,"message_id":"$id","message":"Successfully Sent","user":"Ada",'
        '"message_id_str":"$id"}',
    ),
    Answer.THROTTLE: _termii(429, "Too many requests", retry_after=True),
    Answer.ERROR_500: _termii(500, "Server error"),
    Answer.INVALID_TOKEN: _termii(422, "Invalid phone number"),
    Answer.UNAUTHENTICATED: _termii(401, "Unauthorized"),
    Answer.MALFORMED: _termii(422, "The sms field is required."),
}


def _authenticate_twilio(request: Request, secrets: Secrets) -> VendorAnswer | None:
    sid = path_of(request).split("/")[3]
    users = (sid, f"SK{secrets.hex('twilio')}")
    known = any(basic(request, user, secrets.hex("twilio secret")) for user in users)
    return None if known and sid == _twilio_sid(secrets) else _TWILIO[Answer.UNAUTHENTICATED]


def _parse_twilio(request: Request, secrets: Secrets) -> VendorCall:
    form = form_of(request)
    text_of(form.get("From") or form.get("MessagingServiceSid"))
    return VendorCall(text_key("twilio", form["To"], text_of(form["Body"])), text_of(form["To"]))


def _twilio_sid(secrets: Secrets) -> str:
    return f"AC{secrets.hex('twilio')}"


def _authenticate_vonage(request: Request, secrets: Secrets) -> VendorAnswer | None:
    form = form_of(request)
    if form.get("api_key") != secrets.hex("vonage", 8):
        return _VONAGE[Answer.UNAUTHENTICATED]
    if given := form.get("sig"):
        line = "".join(f"&{name}={form[name].translate(_SIGNED)}" for name in sorted(form) if name != "sig")
        expected = hmac.new(_vonage_signs(secrets).encode(), line.encode(), hashlib.sha256).hexdigest()
        return None if given.lower() == expected else _UNSIGNED
    return None if form.get("api_secret") == secrets.hex("vonage secret", 16) else _VONAGE[Answer.UNAUTHENTICATED]


_SIGNED: Final = str.maketrans("&=", "__")


def _parse_vonage(request: Request, secrets: Secrets) -> VendorCall:
    form = form_of(request)
    text_of(form["from"])
    text_of(form["text"])
    return VendorCall(text_of(form["client-ref"]), text_of(form["to"]))


def _vonage_signs(secrets: Secrets) -> str:
    return secrets.hex("vonage signature", 48)


def _authenticate_termii(request: Request, secrets: Secrets) -> VendorAnswer | None:
    try:
        known = json_of(request)["api_key"] == _termii_key(secrets)
    except (msgspec.DecodeError, LookupError, TypeError):
        known = False
    return None if known else _TERMII[Answer.UNAUTHENTICATED]


def _parse_termii(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    text_of(body["from"])
    return VendorCall(text_key("termii", text_of(body["to"]), text_of(body["sms"])), body["to"])


def _termii_key(secrets: Secrets) -> str:
    return f"TL{secrets.hex('termii', 58)}"


def _twilio_account(secrets: Secrets, origin: str) -> Account:
    settings = {"account_sid": _twilio_sid(secrets), "sender": "+14155550199", "base_url": origin}
    return {"settings": settings, "credentials": {"secret": secrets.hex("twilio secret")}}


def _vonage_account(secrets: Secrets, origin: str) -> Account:
    credentials = {"api_key": secrets.hex("vonage", 8), "api_secret": secrets.hex("vonage secret", 16)}
    return {
        "settings": {"sender": "Shop", "base_url": origin},
        "credentials": credentials | {"signature_secret": _vonage_signs(secrets)},
    }


def _termii_account(secrets: Secrets, origin: str) -> Account:
    return {"settings": {"sender": "Shop", "base_url": origin}, "credentials": {"api_key": _termii_key(secrets)}}


def _somebody(secrets: Secrets, origin: str) -> str:
    return "+14155550101"


SCRIPTS: Final = (
    VendorScript(
        "twilio", "sms", r"/2010-04-01/Accounts/AC[0-9a-fA-F]{32}/Messages\.json", _authenticate_twilio, _parse_twilio, _TWILIO,
        "SM$hex", _twilio_account, _somebody,
    ),
    VendorScript(
        "vonage", "sms", "/sms/json", _authenticate_vonage, _parse_vonage, _VONAGE, "$uuid", _vonage_account, _somebody
    ),
    VendorScript(
        "termii", "sms", "/api/sms/send", _authenticate_termii, _parse_termii, _TERMII, "$digits", _termii_account, _somebody
    ),
)  # fmt: skip
