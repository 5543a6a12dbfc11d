"""Amazon SES, API v2: `SendEmail` with simple content.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html; sending quotas answer as in
https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html.
"""

import re
from typing import Any, Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits import SUBJECT_CHARS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import Field, Traits
from clarion.providers import envelope, mime, sigv4, unsubscribing
from clarion.providers.answers import by_status, object_of, retry_after_ms, said

TRAITS: Final = Traits(
    vendor="ses",
    channels=(Channel.EMAIL,),
    title="Amazon SES",
    transport="http",
    settings=(
        *sigv4.SETTINGS,
        *envelope.SENDER,
        Field("configuration_set", about="publishes events of what is sent", pattern=r"[A-Za-z0-9_-]{1,64}"),
    ),
    credentials=sigv4.CREDENTIALS,
    parts=envelope.PARTS,
    required_parts=("subject",),
    idempotent=False,
    on_ambiguous="retry",
    docs="https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html",
)

TAG: Final = "delivery_id"
"""SES takes no idempotency key; the delivery's id is a tag, which comes back in events."""
THROTTLED_MS: Final = 1_000
QUOTA_MS: Final = 3_600_000
"""The daily quota is over any 24 hours, so some of it may come back within one."""

OUTCOMES: Final[dict[str, str]] = sigv4.CODES | {
    "LimitExceeded": "limit_exceeded",
    "MessageRejected": "message_rejected",
    "MailFromDomainNotVerified": "account",
    "AccountSuspended": "account",
    "SendingPaused": "account",
    "NotFound": "account",
    "BadRequest": "invalid_request",
}
"""What an error's code means; a word without a meaning of its own refuses for that reason."""

RULES: Final[tuple[tuple[str, str, str], ...]] = (
    ("Throttled|Throttling|TooManyRequests|LimitExceeded", r"daily message quota exceeded", "quota"),
    ("Throttling|TooManyRequests|LimitExceeded", r"maximum sending rate exceeded", "later"),
    ("MessageRejected", r"not verified|sending (paused|suspended) for", "account"),
)
"""Codes that mean more than one thing, by SES's words; read before `OUTCOMES`."""

_RULES: Final = tuple((re.compile(code), re.compile(words, re.IGNORECASE), to) for code, words, to in RULES)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed `SendEmail` call. SES writes Message-ID, Date and the MIME structure itself."""
    settings, parts = account.settings, message.parts
    name = parts.get("from_name") or settings.get("from_name") or ""
    body: dict[str, Any] = {
        "FromEmailAddress": mime.mailbox(name, settings["from_email"], "from_email").replace("\r\n", ""),
        "Destination": {"ToAddresses": [mime.address(message.address, "address")]},
        "Content": {"Simple": _content(message, account)},
        "EmailTags": [{"Name": TAG, "Value": message.delivery_id}],
    }
    if reply_to := parts.get("reply_to") or settings.get("reply_to"):
        body["ReplyToAddresses"] = [mime.address(reply_to, "reply_to")]
    if configuration_set := settings.get("configuration_set"):
        body["ConfigurationSetName"] = configuration_set
    try:
        payload = msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise ValueError("a part of the e-mail holds half a surrogate pair") from None
    url = sigv4.origin(account, "email") + "/v2/email/outbound-emails"
    request = HttpRequest("POST", url, {"content-type": "application/json"}, payload)
    return sigv4.signed(request, account, "ses", now_ms)


def _content(message: Message, account: Account) -> dict[str, Any]:
    """Return SES's `Message`: subject, bodies, and the headers it does not write."""
    parts = message.parts
    subject = mime.plain(parts.get("subject") or "", "subject")
    if len(subject) > SUBJECT_CHARS_MAX:
        raise ValueError(f"subject is longer than {SUBJECT_CHARS_MAX} characters")
    bodies = {"Text": parts.get("text"), "Html": parts.get("html")}
    if not any(bodies.values()):
        raise ValueError("an e-mail needs a text or an html part")
    content: dict[str, Any] = {
        "Subject": {"Data": subject, "Charset": "UTF-8"},
        "Body": {kind: {"Data": text, "Charset": "UTF-8"} for kind, text in bodies.items() if text},
    }
    if headers := unsubscribing.headers(message, account.settings):
        content["Headers"] = [{"Name": name, "Value": value} for name, value in headers.items()]
    return content


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return what an answer of `SendEmail` means, by the error's code before the HTTP status."""
    body = object_of(response.body)
    code = sigv4.code_of(str(response.headers.get("x-amzn-errortype") or body.get("__type") or body.get("code") or ""))
    if response.status == 200 and not code and body.get("MessageId"):
        return Accepted(str(body["MessageId"]))
    words = f"{code} {body.get('message') or body.get('Message') or ''}".strip()
    detail, after_ms = said(response, words), retry_after_ms(response.headers, now_ms)
    match _meaning(code, words) or ("account" if response.status == 404 else None):
        case None:
            return by_status(response, now_ms, words) if response.status != 200 else Ambiguous(detail)
        case "later":
            return Throttled(THROTTLED_MS if after_ms is None else after_ms, detail)
        case "quota":
            return Throttled(QUOTA_MS if after_ms is None else after_ms, detail)
        case "again":
            return Transient(detail, after_ms)
        case "account":
            return Misconfigured(detail)
        case reason:
            return Refused(reason, detail)


def _meaning(code: str, words: str) -> str | None:
    for codes, pattern, meaning in _RULES:
        if codes.fullmatch(code) and pattern.search(words):
            return meaning
    return OUTCOMES.get(code)
