"""Postmark, e-mail API (https://postmarkapp.com/developer/api/email-api).

Errors are `{ErrorCode, Message}` and mostly HTTP 422: the code decides, not the status ("API error codes" of
https://postmarkapp.com/developer/api/overview). Code 0 can still name recipients that were omitted.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import POSTMARK_MESSAGE_BYTES_MAX, POSTMARK_PART_BYTES_MAX
from clarion.domain.limits_delivery import BATCH_ANSWER_BYTES_MAX, BATCH_TIMEOUT_MS, POSTMARK_BATCH_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Transient,
)
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers import envelope, mime, mime_files
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms, unusable
from clarion.providers.batching import for_all
from clarion.providers.email.postmark_receipts import read_receipts as read_receipts

BASE_URL: Final = "https://api.postmarkapp.com"
STREAM: Final = "outbound"

MESSAGE: Final = envelope.whole(POSTMARK_MESSAGE_BYTES_MAX, "all in base64")
TEXT: Final = ContentLimit(("text",), "bytes", POSTMARK_PART_BYTES_MAX, "refuse")
HTML: Final = ContentLimit(("html",), "bytes", POSTMARK_PART_BYTES_MAX, "refuse")

TRAITS: Final = Traits(
    vendor="postmark",
    channels=(Channel.EMAIL,),
    title="Postmark",
    transport="http",
    settings=(
        *envelope.SENDER,
        Field("message_stream", about="id of the stream", pattern=r"[A-Za-z0-9_-]{1,30}", default=STREAM),
        Field("base_url", kind="url", about="origin of the API", default=BASE_URL),
    ),
    credentials=(
        Field("server_token", required=True, pattern="[!-~]+", about="API token of the Postmark server"),
        Field("webhook_username", pattern="[!-9;-~]{1,128}", about="user name in the URL of the webhook, for receipts"),
        Field("webhook_password", pattern="[!-~]{16,256}", about="password in the URL of the webhook, for receipts"),
    ),
    parts=envelope.PARTS,
    required_parts=("subject",),
    receipts=True,
    docs="https://postmarkapp.com/developer/user-guide/send-email-with-api",
    batch_max=POSTMARK_BATCH_MAX,
    limits=(*envelope.LIMITS, TEXT, HTML, MESSAGE),
)

OUTCOMES: Final[dict[int, str]] = {
    0: "accepted",
    10: "account",
    100: "again",
    300: "request",
    400: "account",
    401: "account",
    402: "refused",
    403: "refused",
    405: "account",
    406: "dead",
    409: "refused",
    410: "refused",
    411: "refused",
    412: "account",
    413: "account",
    429: "later",
}
"""Meanings of an `ErrorCode`, which is not an HTTP status: 401 is a sender that is not confirmed, 413 an account that
may not send, 405 one without credits. A `request` is about the address only when its text calls the address invalid."""

_WORDS_CHARS_MAX: Final = 2_000
_BAD_ADDRESS: Final = re.compile(r"(?:invalid|error\s+parsing)\s+'to'", re.IGNORECASE)
_INACTIVE: Final = re.compile(r"inactive addresses:\s*(.*?)\.?\s*(?:$|inactive recipients)", re.IGNORECASE)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the `/email` call; webhooks carry `Metadata` back, which names the delivery. Raises `ValueError` when the
    message cannot be sent."""
    return HttpRequest("POST", *_door(account, "/email"), msgspec.json.encode(_body(message, account)))


def _body(message: Message, account: Account) -> dict[str, Any]:
    """Return the message in Postmark's form."""
    mail, settings = envelope.seal(message, account), account.settings
    text_bytes, html_bytes = envelope.size(mail.text, "text"), envelope.size(mail.html, "html")
    TEXT.check(text_bytes)
    HTML.check(html_bytes)
    # Postmark measures the message in base64, which is 4 bytes for 3.
    MESSAGE.check((text_bytes + html_bytes) * 4 // 3 + mime_files.total_bytes(message.attachments))
    body: dict[str, Any] = {
        "From": envelope.mailbox(mail.sender_name, mail.sender),
        "To": mail.recipient,
        "Subject": mail.subject,
        "MessageStream": settings.get("message_stream", STREAM),
        "Metadata": {"delivery_id": message.reference or message.delivery_id},
    }
    body |= {name: text for name, text in (("TextBody", mail.text), ("HtmlBody", mail.html)) if text}
    if mail.reply_to:
        body["ReplyTo"] = mail.reply_to
    if mail.headers:
        body["Headers"] = [{"Name": name, "Value": value} for name, value in mail.headers.items()]
    if message.attachments:
        body["Attachments"] = [_file(file, html=bool(mail.html)) for file in message.attachments]
    return body


def _file(file: Attachment, *, html: bool) -> dict[str, str]:
    """Return the attachment in Postmark's form; with a `ContentID` it is shown within the HTML."""
    given = {"Name": file.filename, "Content": mime_files.base64_of(file), "ContentType": file.media}
    return given | {"ContentID": f"cid:{file.cid}"} if file.cid and html else given


def _door(account: Account, path: str) -> tuple[str, dict[str, str]]:
    """Return URL and headers of a call."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "x-postmark-server-token": account.credentials["server_token"],
    }
    return account.settings.get("base_url", BASE_URL).rstrip("/") + path, headers


def batch_key(message: Message, account: Account) -> str | None:
    """Return the same batch key for all messages, as a call carries each message complete. None for one with files, so
    that it is sent alone."""
    return None if message.attachments else "email"


def build_batch(messages: Sequence[Message], account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the `/email/batch` call (https://postmarkapp.com/developer/user-guide/send-email-with-api/batch-emails)."""
    url, headers = _door(account, "/email/batch")
    body = msgspec.json.encode([_body(message, account) for message in messages])
    return HttpRequest("POST", url, headers, body, BATCH_TIMEOUT_MS, answer_bytes_max=BATCH_ANSWER_BYTES_MAX)


def read_batch(
    response: HttpResponse, messages: Sequence[Message], account: Account, *, now_ms: int
) -> list[Outcome | None] | None:
    """Return the outcome of each entry: HTTP 200 says nothing about them. They are in the order of the messages."""
    if not 200 <= response.status < 300:
        return for_all(read(response, messages[0], account, now_ms=now_ms), len(messages))
    try:
        entries = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return [Ambiguous(f"HTTP {response.status}: no list of results")] * len(messages)
    if len(entries) != len(messages):
        return [Ambiguous()] * len(entries)  # the caller notices that the numbers differ
    # Without the body, so that no message's detail quotes the results of other messages.
    bare = msgspec.structs.replace(response, body=b"")
    return [
        _read(entry if isinstance(entry, dict) else {}, bare, message, now_ms)
        for entry, message in zip(entries, messages, strict=True)
    ]


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response of `/email`, by its `ErrorCode`; by the status for an unknown code, 429 and
    5xx."""
    return _read(object_of(response.body), response, message, now_ms)


def _read(body: dict[str, Any], response: HttpResponse, message: Message, now_ms: int) -> Outcome:
    status = response.status
    # Delayed messages are accepted without a code.
    code = given if type(given := body.get("ErrorCode")) is int else 0
    words = " ".join(str(body.get("Message") or "")[:_WORDS_CHARS_MAX].split())
    detail = error_detail(response, f"{code} {words}" if code else words)
    match OUTCOMES.get(code) if status < 500 and status != 429 else None:
        case "accepted" if status < 300 and _left_out(words, message):
            return InvalidRecipient(detail)
        case "accepted" if status < 300:
            return Accepted(str(body["MessageID"])) if body.get("MessageID") else Ambiguous(detail)
        case "dead":
            return InvalidRecipient(detail)
        case "request" if _BAD_ADDRESS.match(words):
            return InvalidRecipient(detail)
        case "account":
            return Misconfigured(detail)
        case "later":
            return Throttled(retry_after_ms(response.headers, now_ms), detail)
        case "again":
            return Transient(detail, retry_after_ms(response.headers, now_ms))
        case "request" | "refused":
            return Refused(f"error_{code}", detail)
        case _ if code and status < 300:
            return Refused(f"error_{code}", detail)
        case _:
            return by_status(response, now_ms, f"{code} {words}" if code else words)


def _left_out(words: str, message: Message) -> bool:
    """Return whether the text lists the message's recipient as inactive; Postmark writes addresses in lower case."""
    found = _INACTIVE.search(words)
    listed = {address.strip().lower() for address in found[1].split(",")} if found else set()
    return mime.address(message.address, "address").lower() in listed


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that reads the server (https://postmarkapp.com/developer/api/server-api)."""
    return HttpRequest("GET", *_door(account, "/server"), b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the token is not that of a server, else None."""
    body = object_of(response.body)
    return unusable(response, f"{body.get('ErrorCode', '')} {body.get('Message', '')}".strip())
