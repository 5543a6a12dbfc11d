"""Amazon SES, API v2: `SendEmail` with simple content.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html; responses to exceeded sending quotas:
https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import SES_MESSAGE_BYTES_MAX
from clarion.domain.limits_delivery import BATCH_TIMEOUT_MS, SES_BATCH_MAX, SES_TEMPLATE_CHARS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import Field, Traits
from clarion.providers import envelope, mime, mime_files, sigv4, sns_envelope, unsubscribe_headers
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms
from clarion.providers.batching import alike, for_all
from clarion.providers.email.ses_receipts import read_receipts as read_receipts

MESSAGE: Final = envelope.whole(SES_MESSAGE_BYTES_MAX, "the files in base64")

TRAITS: Final = Traits(
    vendor="ses",
    channels=(Channel.EMAIL,),
    title="Amazon SES",
    transport="http",
    settings=(
        *sigv4.SETTINGS,
        *envelope.SENDER,
        Field("configuration_set", about="publishes events of sent messages", pattern=r"[A-Za-z0-9_-]{1,64}"),
        Field("topic_arn", about="SNS topic that receipts come from", pattern=sns_envelope.TOPIC_ARN),
    ),
    credentials=sigv4.CREDENTIALS,
    parts=envelope.PARTS,
    required_parts=("subject",),
    receipts=True,
    docs="https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html",
    batch_max=SES_BATCH_MAX,
    limits=(*envelope.LIMITS, MESSAGE),
)

TAG: Final = "delivery_id"
"""SES takes no idempotency key; the delivery's id is a tag, which events carry back."""
THROTTLED_MS: Final = 1_000
QUOTA_MS: Final = 3_600_000
"""The daily quota counts any 24 hours, so some of it may be free again within an hour."""

OUTCOMES: Final[dict[str, str]] = sigv4.CODES | {
    "LimitExceeded": "limit_exceeded",
    "MessageRejected": "message_rejected",
    "MailFromDomainNotVerified": "account",
    "AccountSuspended": "account",
    "SendingPaused": "account",
    "NotFound": "account",
    "BadRequest": "invalid_request",
}
"""Meanings of an error's code; a meaning that names no outcome refuses with that reason."""

STATUSES: Final[dict[str, str]] = {
    "SUCCESS": "accepted",
    "MESSAGE_REJECTED": "message_rejected",
    "MAIL_FROM_DOMAIN_NOT_VERIFIED": "account",
    "CONFIGURATION_SET_NOT_FOUND": "account",
    "CONFIGURATION_SET_DOES_NOT_EXIST": "account",
    "TEMPLATE_NOT_FOUND": "account",
    "TEMPLATE_DOES_NOT_EXIST": "account",
    "ACCOUNT_SUSPENDED": "account",
    "ACCOUNT_THROTTLED": "later",
    "ACCOUNT_DAILY_QUOTA_EXCEEDED": "quota",
    "INVALID_SENDING_POOL_NAME": "account",
    "ACCOUNT_SENDING_PAUSED": "account",
    "CONFIGURATION_SET_SENDING_PAUSED": "account",
    "INVALID_PARAMETER": "invalid_request",
    "TRANSIENT_FAILURE": "again",
    "FAILED": "failed",
}
"""Meanings of the `Status` of an entry of `SendBulkEmail`; some have one name in the model and another on its page."""

NOT_IN_BULK: Final = frozenset({"AccessDenied", "NotAuthorized", "NotFound", "UnknownOperation"})
"""Errors that may be about `SendBulkEmail` alone: the key's policy, or the endpoint, may support only `SendEmail`."""

RULES: Final[tuple[tuple[str, str, str], ...]] = (
    ("Throttled|Throttling|TooManyRequests|LimitExceeded", r"daily message quota exceeded", "quota"),
    ("Throttling|TooManyRequests|LimitExceeded", r"maximum sending rate exceeded", "later"),
    ("MessageRejected", r"not verified|sending (paused|suspended) for", "account"),
)
"""Codes with several meanings, by SES's text; read before `OUTCOMES`."""

_TYPE_CHARS_MAX: Final = 78
_RULES: Final = tuple((re.compile(code), re.compile(words, re.IGNORECASE), to) for code, words, to in RULES)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed `SendEmail` call. SES writes Message-ID, Date and the MIME structure itself. Raises
    `ValueError` when the message cannot be sent."""
    return _call(_body(message, account), account, "outbound-emails", now_ms)


def _body(message: Message, account: Account) -> dict[str, Any]:
    """Return the input of `SendEmail`."""
    settings, parts = account.settings, message.parts
    name = parts.get("from_name") or settings.get("from_name") or ""
    body: dict[str, Any] = {
        "FromEmailAddress": mime.mailbox(name, settings["from_email"], "from_email").replace("\r\n", ""),
        "Destination": {"ToAddresses": [mime.address(message.address, "address")]},
        "Content": {"Simple": _content(message, account)},
        "EmailTags": _tags(message),
    }
    if reply_to := parts.get("reply_to") or settings.get("reply_to"):
        body["ReplyToAddresses"] = [mime.address(reply_to, "reply_to")]
    if configuration_set := settings.get("configuration_set"):
        body["ConfigurationSetName"] = configuration_set
    return body


def _call(body: dict[str, Any], account: Account, name: str, now_ms: int) -> HttpRequest:
    try:
        payload = msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise ValueError("a part of the e-mail holds half a surrogate pair") from None
    url = f"{sigv4.origin(account, 'email')}/v2/email/{name}"
    request = HttpRequest("POST", url, {"content-type": "application/json"}, payload)
    return sigv4.signed(request, account, "ses", now_ms)


def _tags(message: Message) -> list[dict[str, str]]:
    """Return the tags that events about a message carry back."""
    return [{"Name": TAG, "Value": message.reference or message.delivery_id}]


def batch_key(message: Message, account: Account) -> str | None:
    """Return a batch key: equal for messages that differ only in the recipient and the values of their headers. None
    for content that SES's template language would change, so that it is sent alone."""
    if message.attachments:
        return None
    try:
        texts = [*_template(_body(message, account)).values()]
        texts += unsubscribe_headers.headers(message, account.settings).values()
    except ValueError:
        return None
    if any("{{" in text for text in texts) or sum(map(len, texts)) > SES_TEMPLATE_CHARS_MAX:
        return None
    return alike(message)


def _template(body: dict[str, Any]) -> dict[str, str]:
    simple = body["Content"]["Simple"]
    return {"Subject": simple["Subject"]["Data"]} | {kind: part["Data"] for kind, part in simple["Body"].items()}


def build_batch(messages: Sequence[Message], account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed `SendBulkEmail` call, with the content as a template without variables
    (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html)."""
    body = _body(messages[0], account)
    body["DefaultContent"] = {"Template": {"TemplateContent": _template(body), "TemplateData": "{}"}}
    del body["Content"], body["Destination"], body["EmailTags"]
    body["BulkEmailEntries"] = [_entry(message, account) for message in messages]
    return msgspec.structs.replace(_call(body, account, "outbound-bulk-emails", now_ms), timeout_ms=BATCH_TIMEOUT_MS)


def _entry(message: Message, account: Account) -> dict[str, Any]:
    """Return an entry of `SendBulkEmail`: a recipient with its own headers and tags."""
    entry: dict[str, Any] = {
        "Destination": {"ToAddresses": [mime.address(message.address, "address")]},
        "ReplacementTags": _tags(message),
    }
    if headers := unsubscribe_headers.headers(message, account.settings):
        entry["ReplacementHeaders"] = [{"Name": name, "Value": value} for name, value in headers.items()]
    return entry


def read_batch(
    response: HttpResponse, messages: Sequence[Message], account: Account, *, now_ms: int
) -> list[Outcome | None] | None:
    """Return the outcome of each entry's `Status`, in the order of the messages: HTTP 200 says nothing about them."""
    body, code = object_of(response.body), _code(response)
    if response.status != 200 or code:
        if code in NOT_IN_BULK or response.status == 404:
            return None
        return for_all(read(response, messages[0], account, now_ms=now_ms), len(messages))
    entries = body.get("BulkEmailEntryResults")
    if not isinstance(entries, list):
        return [Ambiguous("HTTP 200: no list of results")] * len(messages)
    # Without the body, so that no message's detail quotes the results of other messages.
    bare = msgspec.structs.replace(response, body=b"")
    return [_read_entry(entry if isinstance(entry, dict) else {}, bare, now_ms) for entry in entries]


def _read_entry(entry: dict[str, Any], response: HttpResponse, now_ms: int) -> Outcome:
    status, id_ = str(entry.get("Status") or ""), str(entry.get("MessageId") or "")
    words = f"{status} {entry.get('Error') or ''}".strip()
    match STATUSES.get(status, ""):
        case "accepted":
            return Accepted(id_) if id_ else Ambiguous(error_detail(response, words))
        case "message_rejected":
            return _outcome(_meaning("MessageRejected", words) or "", response, words, now_ms)
        case meaning:
            return _outcome(meaning, response, words, now_ms)


def _content(message: Message, account: Account) -> dict[str, Any]:
    """Return SES's `Message`: subject, bodies, and the headers that SES does not write. Raises `ValueError` when it has
    no body."""
    parts = message.parts
    subject = mime.plain(parts.get("subject") or "", "subject")
    mime.SUBJECT.check(len(subject))
    bodies = {"Text": parts.get("text"), "Html": parts.get("html")}
    if not any(bodies.values()):
        raise ValueError("an e-mail needs a text or an html part")
    content: dict[str, Any] = {
        "Subject": {"Data": subject, "Charset": "UTF-8"},
        "Body": {kind: {"Data": text, "Charset": "UTF-8"} for kind, text in bodies.items() if text},
    }
    if headers := unsubscribe_headers.headers(message, account.settings):
        content["Headers"] = [{"Name": name, "Value": value} for name, value in headers.items()]
    if message.attachments:
        texts = sum(len(text) for text in bodies.values() if text)
        MESSAGE.check(texts + mime_files.total_bytes(message.attachments))
        content["Attachments"] = [_file(file, html=bool(bodies["Html"])) for file in message.attachments]
    return content


def _file(file: Attachment, *, html: bool) -> dict[str, str]:
    """Return SES's `Attachment` (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html)."""
    media = file.media if len(file.media) <= _TYPE_CHARS_MAX else file.media.partition(";")[0]
    inline = file.cid and html
    given = {
        "FileName": file.filename,
        "ContentType": media,
        "RawContent": mime_files.base64_of(file),
        "ContentTransferEncoding": "BASE64",
        "ContentDisposition": "INLINE" if inline else "ATTACHMENT",
    }
    return given | {"ContentId": file.cid} if inline else given


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response of `SendEmail`, by the error's code before the HTTP status."""
    body, code = object_of(response.body), _code(response)
    if response.status == 200 and not code and body.get("MessageId"):
        return Accepted(str(body["MessageId"]))
    words = f"{code} {body.get('message') or body.get('Message') or ''}".strip()
    return _outcome(_meaning(code, words) or ("account" if response.status == 404 else ""), response, words, now_ms)


def _code(response: HttpResponse) -> str:
    """Return an error's name, "" when there is none."""
    body = object_of(response.body)
    return sigv4.code_of(str(response.headers.get("x-amzn-errortype") or body.get("__type") or body.get("code") or ""))


def _outcome(meaning: str, response: HttpResponse, words: str, now_ms: int) -> Outcome:
    """Return the outcome of an error or of an entry's status. Without a meaning in the tables, the HTTP status
    decides."""
    detail, after_ms = error_detail(response, words), retry_after_ms(response.headers, now_ms)
    match meaning:
        case "":
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


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed `GetAccount` call."""
    return sigv4.signed(HttpRequest("GET", sigv4.origin(account, "email") + "/v2/email/account", {}, b""), account,
                        "ses", now_ms)  # fmt: skip


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return the fault of the account, or None. A key that may send but not read is refused with `AccessDenied`,
    and an invalid key with another error."""
    body, code = object_of(response.body), _code(response)
    if response.status == 200 and body.get("SendingEnabled") is False:
        return Misconfigured("HTTP 200: sending is disabled for this account")
    return sigv4.unusable(response, code, str(body.get("message") or body.get("Message") or ""))
