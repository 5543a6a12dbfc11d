"""Termii messaging API, SMS (https://developers.termii.com/messaging-api; errors: https://developers.termii.com/error).

Termii's errors are prose: the text is read before the status. It takes neither an idempotency key nor an id of the
client. Its `generic` route is for promotion: Nigerian numbers on the do-not-disturb list never get messages over it.
"""

import re
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Outcome, Refused
from clarion.ports.vendor import Field, Traits
from clarion.providers.answers import error_detail, object_of, unusable
from clarion.providers.sms.termii_receipts import read_receipts as read_receipts
from clarion.providers.texting import SEGMENTS, by_status_unkeyed, digits_of, text_of

TRAITS: Final = Traits(
    vendor="termii",
    channels=(Channel.SMS,),
    title="Termii",
    transport="http",
    settings=(
        Field("base_url", kind="url", required=True, about="the account's own base URL, as its dashboard shows it"),
        Field("sender", required=True, about="registered sender id", pattern="[A-Za-z0-9 ._-]{3,11}"),
        Field(
            "route", about="dnd for transactional messages, generic for promotion", pattern="dnd|generic", default="dnd"
        ),
    ),
    credentials=(
        Field("api_key", required=True, pattern="[!-~]+", about="API key of the dashboard"),
        Field("secret_key", pattern="[!-~]+", about="secret key of the dashboard, which signs receipts"),
    ),
    parts=("body",),
    required_parts=("body",),
    receipts=True,
    docs="https://developers.termii.com/messaging-api",
    limits=(SEGMENTS,),
)

OUTCOMES: Final[tuple[tuple[str, str, str], ...]] = (
    # statuses, words, meaning
    ("*", r"account (is )?not active|not set ?up on this route|no route on your account|country inactive", "account"),
    ("*", r"invalid sender ?id|sender ?id (was )?not found|device not found|reached the daily limit", "account"),
    ("*", r"insufficient (balance|fund|credit)", "account"),
    ("401 403 404", r"", "account"),
    ("422", r"\b(required|missing|sender)\b", "invalid"),
    ("422", r"\b(phone|mobile|recipient|destination)( phone)? number\b|\binvalid (phone|number|to)\b|\"to\":", "dead"),
    ("422", r"", "invalid"),
    ("400", r"", "bad_request"),
    ("405", r"", "bad_method"),
)
"""The first row that matches decides; a meaning that names no outcome refuses with that reason."""

_OUTCOMES: Final = tuple((statuses, re.compile(words, re.I), meaning) for statuses, words, meaning in OUTCOMES)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that sends one message. Raises `ValueError` when the message cannot be sent."""
    settings = account.settings
    body = {
        "api_key": account.credentials["api_key"],
        "to": digits_of(message),
        "from": settings["sender"],
        "sms": text_of(message),
        "type": "plain",
        "channel": settings.get("route", "dnd"),
    }
    url = settings["base_url"].rstrip("/") + "/api/sms/send"
    return HttpRequest("POST", url, {"content-type": "application/json"}, msgspec.json.encode(body))


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response: a 2xx of code `ok` is accepted. Ids are text, as they exceed JSON numbers."""
    body = object_of(response.body)
    taken = 200 <= response.status < 300
    id_ = body.get("message_id_str") or body.get("message_id") or ""
    if taken and body.get("code", "ok" if id_ else "") == "ok":
        return Accepted(str(id_))
    words = _words(body)
    detail = error_detail(response, words)
    meaning = next(
        (m for s, pattern, m in _OUTCOMES if (s == "*" or str(response.status) in s) and pattern.search(words)), None
    )
    match meaning:
        case "account":
            return Misconfigured(detail)
        case "dead":
            return InvalidRecipient(detail)
        case None:
            return Refused("rejected", detail) if taken and words else by_status_unkeyed(response, now_ms, words)
        case reason:
            return Refused(reason, detail)


def _words(body: dict[str, Any]) -> str:
    """Return the prose of a response, and the fields it names as JSON."""
    said_in = [body[name] for name in ("message", "error", "errors") if body.get(name)]
    return " ".join(value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in said_in)


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call for the balance (https://developers.termii.com/balance), which takes the key in its query only."""
    query = urlencode({"api_key": account.credentials["api_key"]})
    return HttpRequest("GET", f"{account.settings['base_url'].rstrip('/')}/api/get-balance?{query}", {}, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the key is refused, else None."""
    return unusable(response, _words(object_of(response.body)))
