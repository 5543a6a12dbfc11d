"""Vonage (Nexmo) SMS API.

Protocol: https://developer.vonage.com/en/api/sms; statuses: https://developer.vonage.com/api-errors/sms; signatures:
https://developer.vonage.com/en/getting-started/concepts/signing-messages. Responses are always HTTP 200: the
`status` of each SMS of the text is the result. There is no idempotency key; the delivery id is `client-ref`.
"""

import base64
import re
from typing import Any, Final
from urllib.parse import urlencode

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
)
from clarion.ports.vendor import Field, Traits
from clarion.providers.answers import error_detail, object_of, retry_after_ms, unusable
from clarion.providers.sms.vonage_receipts import read_receipts as read_receipts
from clarion.providers.texting import SEGMENTS, by_status_unkeyed, digits_of, in_gsm, text_of
from clarion.providers.vonage_signature import signature

BASE_URL: Final = "https://rest.nexmo.com"
TTL_MS_MIN: Final = 20_000
TTL_MS_MAX: Final = 604_800_000
THROTTLED_MS: Final = 1_000
"""The limit counts messages per second, and no response says how long to wait."""

TRAITS: Final = Traits(
    vendor="vonage",
    channels=(Channel.SMS,),
    title="Vonage SMS",
    transport="http",
    settings=(
        Field("sender", required=True, about="number or name messages come from", pattern="[0-9]{3,15}|[^+]{1,11}"),
        Field("entity_id", about="DLT entity of India"),
        Field("content_id", about="DLT template of India"),
        Field(
            "signature_method",
            about="as in the API settings",
            pattern="md5hash|md5|sha1|sha256|sha512",
            default="sha256",
        ),
        Field("base_url", kind="url", about="origin of the API", default=BASE_URL),
    ),
    credentials=(
        Field("api_key", required=True, pattern="[!-~]+", about="API key of the dashboard"),
        Field("api_secret", required=True, pattern="[!-~]+", about="API secret of the dashboard"),
        Field("signature_secret", about="signs receipts, and calls, which then carry no api_secret"),
    ),
    parts=("body",),
    required_parts=("body",),
    receipts=True,
    docs="https://developer.vonage.com/en/messaging/sms/overview",
    limits=(SEGMENTS,),
)

OUTCOMES: Final[dict[str, str]] = {
    "1": "later",
    "2": "missing_parameter",
    "3": "parameter",
    "4": "account",
    "5": "unsure",
    "6": "unroutable",
    "7": "dead",
    "8": "account",
    "9": "account",
    "10": "later",
    "11": "account",
    "12": "too_long",
    "14": "account",
    "15": "account",
    "22": "network_code",
    "23": "account",
    "29": "account",
    "32": "account",
    "33": "account",
}
"""Meanings of the `status` of a message; 0 is the success. A meaning that names no outcome refuses with that reason."""

_NAMES_TO: Final = re.compile(r"\bto address\b|['\"`]to['\"`]|\bparam(?:eter)?:? to\b|\binvalid to\b", re.I)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that sends one message; text outside the GSM alphabet is sent as `unicode`, or phones show `?`.
    Raises `ValueError` when the message cannot be sent."""
    settings, credentials, text = account.settings, account.credentials, text_of(message)
    form = {
        "api_key": credentials["api_key"],
        "from": settings["sender"],
        "to": digits_of(message),
        "text": text,
        "type": "text" if in_gsm(text) else "unicode",
        "client-ref": message.reference or message.delivery_id,
    }
    if message.expires_ms is not None:
        form["ttl"] = str(min(max(message.expires_ms - now_ms, TTL_MS_MIN), TTL_MS_MAX))
    form |= {name.replace("_", "-"): settings[name] for name in ("entity_id", "content_id") if settings.get(name)}
    if secret := credentials.get("signature_secret"):
        form["timestamp"] = str(now_ms // 1000)
        form["sig"] = signature(form, secret, settings.get("signature_method", "sha256"))
    else:
        form["api_secret"] = credentials["api_secret"]
    url = settings.get("base_url", BASE_URL).rstrip("/") + "/sms/json"
    return HttpRequest("POST", url, {"content-type": "application/x-www-form-urlencoded"}, urlencode(form).encode())


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response. A text is accepted when each SMS of it is. When only some are, the outcome is
    ambiguous: another attempt would send those again."""
    if response.status == 420:
        return Throttled(retry_after_ms(response.headers, now_ms) or THROTTLED_MS, error_detail(response))
    listed = object_of(response.body).get("messages") if response.status == 200 else None
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        return by_status_unkeyed(response, now_ms)
    failed = [entry for entry in listed if str(entry.get("status")) != "0"]
    if not failed:
        return Accepted(str(listed[0].get("message-id", "")))
    words = f"{failed[0].get('status', '')} {failed[0].get('error-text', '')}".strip()
    outcome = _outcome(failed[0], error_detail(response, words))
    if len(failed) < len(listed) and isinstance(outcome, Throttled):
        return Ambiguous(error_detail(response, f"{len(failed)} of {len(listed)} SMS: {words}"), outcome.after_ms)
    return outcome


def _outcome(entry: dict[str, Any], detail: str) -> Outcome:
    match OUTCOMES.get(str(entry.get("status")), "rejected"):
        case "later":
            return Throttled(THROTTLED_MS, detail)
        case "account":
            return Misconfigured(detail)
        case "unsure":
            return Ambiguous(detail)
        case "dead":
            return InvalidRecipient(detail)
        case "parameter" if _NAMES_TO.search(str(entry.get("error-text", ""))):
            return InvalidRecipient(detail)
        case reason:
            return Refused(reason, detail)


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call for the balance (https://developer.vonage.com/en/api/account), with the secret in a header."""
    credentials = account.credentials
    basic = base64.b64encode(f"{credentials['api_key']}:{credentials['api_secret']}".encode()).decode()
    url = account.settings.get("base_url", BASE_URL).rstrip("/") + "/account/get-balance"
    return HttpRequest("GET", url, {"authorization": f"Basic {basic}", "accept": "application/json"}, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when key or secret are refused, else None."""
    body = object_of(response.body)
    words = body.get("error-code-label") or body.get("detail") or body.get("title") or ""
    return unusable(response, str(words))
