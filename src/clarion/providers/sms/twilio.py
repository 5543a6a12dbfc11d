"""Twilio Programmable Messaging, REST API 2010-04-01.

Protocol: https://www.twilio.com/docs/messaging/api/message-resource; codes: https://www.twilio.com/docs/api/errors/<code>.
Twilio takes no idempotency key: a send repeated after a 5xx may arrive twice (error 20500), after a 429 never (20429).
"""

import base64
from typing import Final
from urllib.parse import quote, urlencode

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers.answers import error_detail, object_of, retry_after_ms, unusable
from clarion.providers.sms.twilio_receipts import read_receipts as read_receipts
from clarion.providers.texting import SEGMENTS, by_status_unkeyed, digits_of, text_of

BASE_URL: Final = "https://api.twilio.com"
BODY: Final = ContentLimit(("body",), "chars", 1_600, "refuse", "error 21617")
VALIDITY_S_MAX: Final = 36_000
LATER_MS: Final = 300_000
"""A queue with hours of messages in it, or a phone that is switched off, needs minutes."""

_SENDER: Final = r"\+[0-9]{7,15}|[0-9]{3,8}|MG[0-9a-fA-F]{32}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}"

TRAITS: Final = Traits(
    vendor="twilio",
    channels=(Channel.SMS,),
    title="Twilio",
    transport="http",
    settings=(
        Field("account_sid", required=True, about="account or subaccount to send from", pattern="AC[0-9a-fA-F]{32}"),
        Field("sender", required=True, about="number, short code, sender id or Messaging Service SID", pattern=_SENDER),
        Field("api_key_sid", about="API key to sign in with instead of the account", pattern="SK[0-9a-fA-F]{32}"),
        Field("base_url", kind="url", about="origin of the API, for another region", default=BASE_URL),
        Field(
            "status_callback",
            kind="url",
            about="where Twilio sends delivery receipts: the address of receipts of this provider",
            pattern="https?://[^/_]+(/.*)?",
            destination=False,  # Twilio calls it; no credentials are sent there
        ),
    ),
    credentials=(
        Field("secret", required=True, pattern="[!-~]+", about="auth token, or with api_key_sid that key's secret"),
        Field("auth_token", pattern="[!-~]+", about="with api_key_sid: the auth token, which signs receipts"),
    ),
    parts=("body",),
    required_parts=("body",),
    receipts=True,
    docs="https://www.twilio.com/docs/messaging/api/message-resource",
    limits=(BODY, SEGMENTS),
)

OUTCOMES: Final[dict[int, str]] = {
    **dict.fromkeys((10001, 20003, 20005, 20006, 20403, 20404, 30002), "account"),
    **dict.fromkeys((21212, 21408, 21601, 21603, 21606, 21608, 21659, 21660, 30034), "account"),
    **dict.fromkeys((21701, 21702, 21703, 21704, 21705), "account"),
    **dict.fromkeys((14107, 20429, 63018), "later"),
    **dict.fromkeys((21611, 30001), "minutes"),
    **dict.fromkeys((21211, 21217, 21610, 21614, 21635, 30005, 30006), "dead"),
    30003: "unreachable",
    21602: "empty",
    21605: "too_long",
    21609: "callback",
    21612: "unroutable",
    21617: "too_long",
    21658: "too_long",
    30004: "blocked",
    30007: "filtered",
    30008: "unknown",
    **dict.fromkeys((30032, 30033, 30035), "registration"),
}
"""Meanings of Twilio's `code`; codes from 30001 on are the `error_code` of a message that was accepted and then failed.
A meaning that names no outcome refuses with that reason."""


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that creates one message; a message that expires leaves Twilio's queue at its expiry. Raises
    `ValueError` when the message cannot be sent."""
    settings, text = account.settings, text_of(message)
    BODY.check(len(text))
    sender = settings["sender"]
    service = sender.startswith("MG") and len(sender) == 34
    form = {"To": f"+{digits_of(message)}", "MessagingServiceSid" if service else "From": sender, "Body": text}
    if message.expires_ms is not None:
        form["ValidityPeriod"] = str(min(max((message.expires_ms - now_ms) // 1000, 1), VALIDITY_S_MAX))
    if settings.get("status_callback"):
        # The signature of a callback covers its URL, so the reference in it can be trusted.
        reference = quote(message.reference or message.delivery_id, safe="")
        form["StatusCallback"] = f"{settings['status_callback']}?ref={reference}"
    user = settings.get("api_key_sid") or settings["account_sid"]
    basic = base64.b64encode(f"{user}:{account.credentials['secret']}".encode()).decode()
    origin, sid = settings.get("base_url", BASE_URL).rstrip("/"), quote(settings["account_sid"], safe="")
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {basic}"}
    return HttpRequest("POST", f"{origin}/2010-04-01/Accounts/{sid}/Messages.json", headers, urlencode(form).encode())


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response, by Twilio's code before the HTTP status; 201 is the success."""
    body = object_of(response.body)
    taken = 200 <= response.status < 300
    code = body.get("error_code" if taken else "code")
    words = f"{code or ''} {body.get('error_message' if taken else 'message') or ''}".strip()
    meaning = OUTCOMES.get(code) if isinstance(code, int) else None
    if taken and meaning is None and body.get("status") in ("failed", "undelivered", "canceled"):
        return Refused("failed", error_detail(response, words))
    if taken and meaning is None and (response.status == 201 or body.get("sid")):
        return Accepted(str(body.get("sid", "")))
    # After a 5xx the message may have been sent, unless the code means that nothing was tried.
    if meaning is not None and (response.status < 500 or meaning in ("later", "minutes")):
        return _outcome(meaning, response, now_ms, error_detail(response, words))
    return by_status_unkeyed(response, now_ms, words)


def _outcome(meaning: str, response: HttpResponse, now_ms: int, detail: str) -> Outcome:
    match meaning:
        case "account":
            return Misconfigured(detail)
        case "dead":
            return InvalidRecipient(detail)
        case "later":
            return Throttled(retry_after_ms(response.headers, now_ms), detail)
        case "minutes":
            return Throttled(retry_after_ms(response.headers, now_ms) or LATER_MS, detail)
        case "unreachable":
            return Transient(detail, LATER_MS)
        case reason:
            return Refused(reason, detail)


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that reads the account, or the newest message with an API key, which may not read the account."""
    settings = account.settings
    user = settings.get("api_key_sid") or settings["account_sid"]
    basic = base64.b64encode(f"{user}:{account.credentials['secret']}".encode()).decode()
    origin, sid = settings.get("base_url", BASE_URL).rstrip("/"), quote(settings["account_sid"], safe="")
    path = "/Messages.json?PageSize=1" if settings.get("api_key_sid") else ".json"
    return HttpRequest("GET", f"{origin}/2010-04-01/Accounts/{sid}{path}", {"authorization": f"Basic {basic}"}, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the secret is refused, or the account is suspended or closed, else None."""
    body = object_of(response.body)
    if response.status == 200 and body.get("status") in ("suspended", "closed"):
        return Misconfigured(f"HTTP 200: the account is {body['status']}")
    return unusable(response, f"{body.get('code') or ''} {body.get('message') or ''}".strip())
