"""Mailgun, messages API v3 (https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages).

Errors carry a text and no code ("Send an email", responses). A limit is 429 or 420, and the end of the pause is in its
text: "try again after 120 seconds" or "try again after Mon, 25 Aug 2025 07:00:31 UTC".
"""

import base64
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import MAILGUN_MESSAGE_BYTES_MAX
from clarion.domain.limits_delivery import ATTEMPT_PAUSE_MS_MAX, BATCH_TIMEOUT_MS, MAILGUN_BATCH_MAX
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
from clarion.ports.vendor import Field, Traits
from clarion.providers import envelope, form_data, mime_files
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms, unusable
from clarion.providers.batching import alike, distinct, for_all
from clarion.providers.email.mailgun_receipts import read_receipts as read_receipts
from clarion.providers.form_data import FilePart

BASE_URL: Final = "https://api.mailgun.net"

MESSAGE: Final = envelope.whole(MAILGUN_MESSAGE_BYTES_MAX, "the files in base64")

TRAITS: Final = Traits(
    vendor="mailgun",
    channels=(Channel.EMAIL,),
    title="Mailgun",
    transport="http",
    settings=(
        Field("domain", required=True, about="sending domain", pattern=r"(?=.{1,253}$)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"),
        *envelope.SENDER,
        Field("base_url", kind="url", about="https://api.eu.mailgun.net for domains in the EU", default=BASE_URL),
    ),
    credentials=(
        Field("api_key", required=True, pattern="[!-~]+", about="sending key of the domain, or an account key"),
        Field("webhook_signing_key", pattern="[!-~]+", about="HTTP webhook signing key of the account, for receipts"),
    ),
    parts=envelope.PARTS,
    required_parts=("subject",),
    receipts=True,
    docs="https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-http",
    batch_max=MAILGUN_BATCH_MAX,
    limits=(*envelope.LIMITS, MESSAGE),
)

RULES: Final[tuple[tuple[str, str, str], ...]] = (
    # status, pattern found in the message, meaning
    (r"4..", r"limit exceeded, try again after", "later"),
    (r"420|429", r"", "later"),
    (r"400", r"^'?to'? parameter is not a valid address", "dead"),
    (r"401|402|403|404", r"", "account"),
    (r"200", r"Mailgun Magnificent API", "account"),
    (r"200", r"", "accepted"),
    (r"400|413", r"", "refused"),
    (r"5..", r"", "again"),
)
"""The first row that matches decides; without a match, the status decides as with any provider. 404 is a domain that is
unknown, disabled or in the other region; "Magnificent" is the response of a path that does not exist."""

_RULES: Final = tuple((re.compile(status), re.compile(words), meaning) for status, words, meaning in RULES)
_VARIABLE: Final = re.compile(r"%[A-Za-z_][\w.-]*%")
"""Variables that Mailgun replaces in a call with recipient variables: `%recipient.x%`, `%recipient%`,
`%unsubscribe_url%`, ..."""
_SPAN: Final = re.compile(r"try again after (\d{1,9}) (second|minute|hour)s?\b")
_DATE: Final = re.compile(r"try again after (\w{3}, \d{1,2} \w{3} \d{4} [\d:]{8} (?:UTC|GMT))")
_UNIT_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000}


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that sends one message; each event about it carries the variable `delivery_id` back. Raises
    `ValueError` when the message cannot be sent."""
    html = bool(message.parts.get("html"))
    return _call(_fields(message, account), account, [_file(file, html=html) for file in message.attachments])


def _fields(message: Message, account: Account) -> dict[str, str]:
    """Return the fields of Mailgun's form; the call omits empty ones except the subject."""
    mail = envelope.seal(message, account)
    texts_bytes = envelope.size(mail.text, "text") + envelope.size(mail.html, "html")
    MESSAGE.check(texts_bytes + mime_files.total_bytes(message.attachments))
    return {
        "from": envelope.mailbox(mail.sender_name, mail.sender),
        "to": mail.recipient,
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "h:Reply-To": mail.reply_to,
        **{f"h:{name}": value for name, value in mail.headers.items()},
        **_variables(message),
    }


def _variables(message: Message) -> dict[str, str]:
    """Return the variables that events about a message carry back."""
    return {"v:delivery_id": message.reference or message.delivery_id}


def _file(file: Attachment, *, html: bool) -> FilePart:
    """Return a file of the form; Mailgun derives the content id of an inline file from its name
    (https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-attachments)."""
    content = mime_files.checked(file)
    if file.cid and html:
        return FilePart("inline", file.cid, file.media, content)
    return FilePart("attachment", file.filename, file.media, content)


def _call(fields: dict[str, str], account: Account, files: Sequence[FilePart] = ()) -> HttpRequest:
    basic = base64.b64encode(f"api:{account.credentials['api_key']}".encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {basic}"}
    origin, domain = account.settings.get("base_url", BASE_URL).rstrip("/"), quote(account.settings["domain"], safe="")
    given = {name: value for name, value in fields.items() if value or name == "subject"}
    if files:
        headers["content-type"], body = form_data.encoded(given, files)
    else:
        body = urlencode(given).encode()
    return HttpRequest("POST", f"{origin}/v3/{domain}/messages", headers, body)


def batch_key(message: Message, account: Account) -> str | None:
    """Return a batch key: equal for messages that differ only in the recipient and the values of their headers. None,
    so that it is sent alone, for a message with text that Mailgun would read as a variable, and for an address with
    capitals, by which Mailgun might not find the variables."""
    try:
        mail = envelope.seal(message, account)
    except ValueError:
        return None
    texts = (mail.sender, mail.sender_name, mail.recipient, mail.reply_to, mail.subject, mail.text, mail.html)
    if mail.recipient != mail.recipient.lower() or any(
        _VARIABLE.search(text) for text in (*texts, *mail.headers.values())
    ):
        return None
    return alike(message, *mail.headers)


def build_batch(messages: Sequence[Message], account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call to many recipients, with variables for each: without them, each would see the addresses of all
    (https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending).

    Raises `ValueError` when an address occurs twice.
    """
    fields = _fields(messages[0], account)
    mails = [envelope.seal(message, account) for message in messages]
    recipients = distinct([mail.recipient for mail in mails])
    own = [
        _variables(message) | {f"h:{name}": value for name, value in mail.headers.items()}
        for mail, message in zip(mails, messages, strict=True)
    ]
    names = {field: f"f{number}" for number, field in enumerate(own[0])}
    variables = [{name: given[field] for field, name in names.items()} for given in own]
    fields |= {field: f"%recipient.{name}%" for field, name in names.items()}
    fields["to"] = ", ".join(recipients)
    fields["recipient-variables"] = msgspec.json.encode(dict(zip(recipients, variables, strict=True))).decode()
    return msgspec.structs.replace(_call(fields, account), timeout_ms=BATCH_TIMEOUT_MS)


def read_batch(
    response: HttpResponse, messages: Sequence[Message], account: Account, *, now_ms: int
) -> list[Outcome | None] | None:
    """Return the one outcome for all; Mailgun refuses a call for one invalid address and does not say for which."""
    return for_all(read(response, messages[0], account, now_ms=now_ms), len(messages))


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response. Events name a message without the angle brackets that it has here."""
    body = object_of(response.body)
    words = str(body.get("message") or "")
    detail = error_detail(response, words)
    match _meaning(response.status, words or response.body[:500].decode("utf-8", "replace")):
        case "accepted":
            id_ = str(body.get("id") or "").strip("<>")
            return Accepted(id_) if id_ else Ambiguous(detail)
        case "dead":
            return InvalidRecipient(detail)
        case "account":
            return Misconfigured(detail)
        case "later":
            return Throttled(_pause_ms(response, words, now_ms), detail)
        case "again":
            return Transient(detail, retry_after_ms(response.headers, now_ms))
        case "refused":
            return Refused(f"http_{response.status}", detail)
        case _:
            return by_status(response, now_ms, words)


def _meaning(status: int, words: str) -> str:
    for statuses, pattern, meaning in _RULES:
        if statuses.fullmatch(str(status)) and pattern.search(words):
            return meaning
    return ""


def _pause_ms(response: HttpResponse, words: str, now_ms: int) -> int | None:
    """Return the pause (ms) of a `Retry-After` header, else the one in the text, else None."""
    asked_ms = retry_after_ms(response.headers, now_ms)
    if asked_ms is None and (span := _SPAN.search(words)):
        return min(int(span[1]) * _UNIT_MS[span[2]], ATTEMPT_PAUSE_MS_MAX)
    if asked_ms is None and (date := _DATE.search(words)):
        return retry_after_ms({"retry-after": date[1]}, now_ms)
    return asked_ms


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that reads the domain (https://documentation.mailgun.com/docs/mailgun/api-reference)."""
    settings = account.settings
    basic = base64.b64encode(f"api:{account.credentials['api_key']}".encode()).decode()
    url = f"{settings.get('base_url', BASE_URL).rstrip('/')}/v3/domains/{quote(settings['domain'], safe='')}"
    return HttpRequest("GET", url, {"authorization": f"Basic {basic}"}, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the key is refused, or the domain is not the account's or disabled, else None."""
    body = object_of(response.body)
    domain = body.get("domain")
    if response.status == 200 and isinstance(domain, dict) and domain.get("state") == "disabled":
        return Misconfigured("HTTP 200: the domain is disabled")
    return unusable(response, str(body.get("message") or ""))
