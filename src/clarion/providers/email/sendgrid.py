"""Twilio SendGrid, Web API v3 Mail Send (https://www.twilio.com/docs/sendgrid/api-reference/mail-send).

An error is `errors: [{field, message}]` without a code: the status decides, and for 400 the field it is about ("Mail Send
Errors"). 429 names the end of the pause in `X-RateLimit-Reset`, as a Unix time ("Rate Limits").
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import SENDGRID_CALL_BYTES_MAX
from clarion.domain.limits_delivery import ATTEMPT_PAUSE_MS_MAX, BATCH_TIMEOUT_MS, SENDGRID_BATCH_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import Field, Traits
from clarion.providers import envelope, mime_files
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms, unusable
from clarion.providers.batching import alike, distinct, for_all
from clarion.providers.email.sendgrid_receipts import read_receipts as read_receipts

BASE_URL: Final = "https://api.sendgrid.com"

MESSAGE: Final = envelope.whole(SENDGRID_CALL_BYTES_MAX, "the files in base64")

TRAITS: Final = Traits(
    vendor="sendgrid",
    channels=(Channel.EMAIL,),
    title="Twilio SendGrid",
    transport="http",
    settings=(
        *envelope.SENDER,
        Field("base_url", kind="url", about="https://api.eu.sendgrid.com for EU subusers", default=BASE_URL),
        Field(
            "webhook_public_key",
            about="verification key of the signed Event Webhook",
            pattern="[A-Za-z0-9+/]{80,400}={0,2}",
        ),
    ),
    credentials=(Field("api_key", required=True, pattern="[!-~]+", about="API key with the Mail Send permission"),),
    parts=envelope.PARTS,
    required_parts=("subject",),
    receipts=True,
    docs="https://www.twilio.com/docs/sendgrid/api-reference/mail-send",
    batch_max=SENDGRID_BATCH_MAX,
    limits=(*envelope.LIMITS, MESSAGE),
)

OUTCOMES: Final[dict[int, str]] = {
    200: "unsent",
    202: "accepted",
    400: "request",
    401: "account",
    403: "account",
    404: "refused",
    405: "refused",
    406: "refused",
    413: "refused",
    415: "refused",
    429: "later",
    451: "account",
    500: "again",
    502: "again",
    503: "again",
    504: "again",
}
"""Meanings of a status. 200 is a message that was checked and not queued, as in sandbox mode; 451 is a sender in the
wrong region for its data. A `request` is about the address only when its field names the address."""

RESET_MS_MIN: Final = 1_000
"""The least pause for a reset in the past: SendGrid's clock counts whole seconds and may differ."""

_ADDRESS_FIELD: Final = re.compile(r"personalizations\W*(\d+)\W*to\b.*\bemail")
_NOT_OF_THE_ADDRESS: Final = re.compile(r"required|more than once|unique|duplicate", re.IGNORECASE)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the `mail/send` call. Events carry `custom_args` back, which names the delivery. Raises `ValueError` when
    the message cannot be sent."""
    return _call(_body(message, account), account)


def _body(message: Message, account: Account) -> dict[str, Any]:
    """Return the message in SendGrid's form. Raises `ValueError` when it has no subject."""
    mail = envelope.seal(message, account)
    if not mail.subject:
        raise ValueError("SendGrid takes no e-mail without a subject")
    # text/plain has to come first ("Mail Send Errors", content).
    content = [
        {"type": f"text/{kind}", "value": value} for kind, value in (("plain", mail.text), ("html", mail.html)) if value
    ]
    files_bytes = mime_files.total_bytes(message.attachments)
    MESSAGE.check(files_bytes + sum(envelope.size(part["value"], part["type"]) for part in content))
    body: dict[str, Any] = {
        "personalizations": [{"to": [{"email": mail.recipient}]}],
        "from": {"email": mail.sender, "name": mail.sender_name} if mail.sender_name else {"email": mail.sender},
        "subject": mail.subject,
        "content": content,
        "custom_args": _custom(message),
    }
    if mail.reply_to:
        body["reply_to"] = {"email": mail.reply_to}
    if mail.headers:
        body["headers"] = mail.headers
        # Subscription tracking would replace the header with SendGrid's own link.
        body["tracking_settings"] = {"subscription_tracking": {"enable": False}}
    if message.attachments:
        body["attachments"] = [_file(file, html=bool(mail.html)) for file in message.attachments]
    return body


def _file(file: Attachment, *, html: bool) -> dict[str, str]:
    """Return the attachment in SendGrid's form; its type takes no parameters ("Mail Send Errors", attachments)."""
    given = {
        "content": mime_files.base64_of(file),
        "filename": file.filename.replace(";", "_"),
        "type": file.media.partition(";")[0],
        "disposition": "attachment",
    }
    return given | {"disposition": "inline", "content_id": file.cid} if file.cid and html else given


def _call(body: dict[str, Any], account: Account) -> HttpRequest:
    headers = {"content-type": "application/json", "authorization": f"Bearer {account.credentials['api_key']}"}
    url = account.settings.get("base_url", BASE_URL).rstrip("/") + "/v3/mail/send"
    return HttpRequest("POST", url, headers, msgspec.json.encode(body))


def _custom(message: Message) -> dict[str, str]:
    """Return the arguments that events about a message carry back."""
    return {"delivery_id": message.reference or message.delivery_id}


def batch_key(message: Message, account: Account) -> str | None:
    """Return a batch key: equal for messages that differ only in the recipient and the values of their headers."""
    try:
        return alike(message, *envelope.seal(message, account).headers)
    except ValueError:
        return None


def build_batch(messages: Sequence[Message], account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the `mail/send` call with a personalization for each message: no recipient sees another
    (https://www.twilio.com/docs/sendgrid/for-developers/sending-email/personalizations). Raises `ValueError` when an address
    occurs twice, which SendGrid refuses."""
    body = _body(messages[0], account)
    del body["custom_args"]
    body.pop("headers", None)
    mails = [envelope.seal(message, account) for message in messages]
    distinct([mail.recipient for mail in mails])
    body["personalizations"] = [
        {"to": [{"email": mail.recipient}], "custom_args": _custom(message)}
        | ({"headers": mail.headers} if mail.headers else {})
        for mail, message in zip(mails, messages, strict=True)
    ]
    return msgspec.structs.replace(_call(body, account), timeout_ms=BATCH_TIMEOUT_MS)


def read_batch(
    response: HttpResponse, messages: Sequence[Message], account: Account, *, now_ms: int
) -> list[Outcome | None] | None:
    """Return the one outcome for all, or the outcomes of the invalid addresses: SendGrid names those by their index and
    then accepts none of the call."""
    errors = _errors(response)
    places = [_place(error) for error in errors]
    if response.status != 400 or not places or not all(place in range(len(messages)) for place in places):
        return for_all(read(response, messages[0], account, now_ms=now_ms), len(messages))
    outcomes: list[Outcome | None] = [None] * len(messages)
    for place, error in zip(places, errors, strict=True):
        outcomes[place] = InvalidRecipient(error_detail(response, _words(error)))
    return outcomes


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response of `mail/send`; the id of an accepted message is in a header, the body is
    empty."""
    errors = _errors(response)
    words = "; ".join(_words(error) for error in errors)
    detail = error_detail(response, words)
    match OUTCOMES.get(response.status):
        case "accepted":
            return Accepted(response.headers.get("x-message-id", ""))
        case "unsent":
            return Misconfigured("HTTP 200: SendGrid checked the message and did not queue it (sandbox mode)")
        case "account":
            return Misconfigured(detail)
        case "later":
            return Throttled(_pause_ms(response, now_ms), detail)
        case "again":
            return Transient(detail, retry_after_ms(response.headers, now_ms))
        case "request" if any(_place(error) >= 0 for error in errors):
            return InvalidRecipient(detail)
        case "request" | "refused":
            return Refused(f"http_{response.status}", detail)
        case _:
            return by_status(response, now_ms, words)


def _errors(response: HttpResponse) -> list[dict[str, Any]]:
    listed = object_of(response.body).get("errors")
    return [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []


def _words(error: dict[str, Any]) -> str:
    return f"{error.get('field') or ''} {error.get('message') or ''}".strip()


def _place(error: dict[str, Any]) -> int:
    """Return the index of the personalization whose address an error calls invalid, -1 for any other error. A missing
    or repeated address is a defect of the call and not of the address."""
    field, text = str(error.get("field", "")), str(error.get("message", ""))
    found = _ADDRESS_FIELD.match(field)
    return int(found[1][:9]) if found and not _NOT_OF_THE_ADDRESS.search(text) else -1


def _pause_ms(response: HttpResponse, now_ms: int) -> int | None:
    """Return the pause (ms) until `X-RateLimit-Reset`, a Unix time in seconds; a `Retry-After` header comes first."""
    asked_ms = retry_after_ms(response.headers, now_ms)
    reset = response.headers.get("x-ratelimit-reset", "").strip()
    if asked_ms is not None or not (reset.isascii() and reset.isdigit()):
        return asked_ms
    return min(max(int(reset[:12]) * 1000 - now_ms, RESET_MS_MIN), ATTEMPT_PAUSE_MS_MAX)


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that lists the key's permissions
    (https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions)."""
    url = account.settings.get("base_url", BASE_URL).rstrip("/") + "/v3/scopes"
    return HttpRequest("GET", url, {"authorization": f"Bearer {account.credentials['api_key']}"}, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the key is refused, or may not send mail, else None."""
    scopes = object_of(response.body).get("scopes")
    if response.status == 200 and isinstance(scopes, list) and "mail.send" not in scopes:
        return Misconfigured("HTTP 200: the key lacks the permission mail.send")
    return unusable(response, "; ".join(_words(error) for error in _errors(response)))
