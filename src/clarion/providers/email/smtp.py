"""SMTP submission (RFC 5321, 6409) to any mail server, signed by DKIM (RFC 6376) on demand.

The outcome follows from the decisive reply's enhanced status code (RFC 3463) before its three digits, and from its
stage: the same 550 is a dead mailbox after RCPT and a refused sender after MAIL.
"""

import re
from typing import Final

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.message import Message, SmtpReply, SmtpRequest
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import Field, Traits
from clarion.providers import dkim, mime, unsubscribe_headers
from clarion.providers.envelope import LIMITS, PARTS, SENDER

TRAITS: Final = Traits(
    vendor="smtp",
    channels=(Channel.EMAIL,),
    title="SMTP",
    transport="smtp",
    settings=(
        Field("host", kind="host", required=True, about="name of the mail server", pattern=r"[A-Za-z0-9._:-]{1,253}"),
        Field(
            "port",
            kind="integer",
            about="587 for starttls, 465 for tls",
            default=587,
            least=1,
            most=65_535,
            destination=True,
        ),
        Field(
            "security",
            about="starttls, tls or none",
            pattern="starttls|tls|none",
            default="starttls",
            destination=True,
        ),
        *SENDER,
        Field("dkim_domain", about="domain that signs, as in its DNS", pattern=r"[^@\s]+"),
        Field("dkim_selector", about="name of the key below _domainkey of that domain", pattern=dkim.SELECTOR),
    ),
    credentials=(
        Field("username", about="user of AUTH"),
        Field("password", about="password of AUTH"),
        Field("dkim_private_key", about="RSA or Ed25519 key in PEM; mail is signed when it is there", pattern=dkim.PEM),
    ),
    slow_credentials=("dkim_private_key",),
    parts=PARTS,
    required_parts=("subject",),
    docs="https://www.rfc-editor.org/rfc/rfc6409",
    limits=LIMITS,
)

RETRY_MS: Final = 60_000
"""Greylisting and full mailboxes need minutes (RFC 5321 4.5.4.1), not the seconds with which retries start."""

RULES: Final[tuple[tuple[str, str, str], ...]] = (
    # stages, `code enhanced` pattern, meaning
    ("*", r"421 .*", "again"),
    ("*", r"454 4\.7\.0", "later"),
    ("*", r"(530|534|535|538) .*", "account"),
    ("*", r"4.. .*", "again_slowly"),
    ("connect auth", r"5.. .*", "account"),
    ("*", r"55\d 5\.6\.7", "smtputf8_unsupported"),
    ("mail", r"(552 .*|5.. 5\.3\.4)", "too_large"),
    ("rcpt", r"(550 5\.1\.(1|10)|551 .*|553 5\.1\.3)", "dead"),
    ("mail", r"5.. .*", "sender_refused"),
    ("*", r"5.. 5\.7\..*", "policy"),
    ("*", r"(552 .*|5.. 5\.2\.3|5.. 5\.3\.4)", "too_large"),
    ("*", r"5.. .*", "rejected"),
)
"""The first row that matches decides; a meaning that names no outcome refuses with that reason."""

_RULES: Final = tuple((stages, re.compile(pattern), meaning) for stages, pattern, meaning in RULES)
_ENHANCED: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> SmtpRequest:
    """Return the transaction. Date and Message-ID come from the delivery, so each attempt sends the same bytes. Raises
    `ValueError` when the message cannot be sent."""
    settings, parts = account.settings, message.parts
    payload = mime.build(
        delivery_id=message.delivery_id,
        created_ms=message.created_ms,
        sender=settings["from_email"],
        sender_name=parts.get("from_name") or settings.get("from_name") or "",
        reply_to=parts.get("reply_to") or settings.get("reply_to") or "",
        recipient=message.address,
        subject=parts.get("subject") or "",
        text=parts.get("text") or "",
        html=parts.get("html") or "",
        headers=unsubscribe_headers.headers(message, settings),
        files=message.attachments,
    )
    signer = settings.get("dkim_domain"), settings.get("dkim_selector"), account.credentials.get("dkim_private_key")
    if any(signer):
        domain, selector, pem = (text or "" for text in signer)
        payload = dkim.signed(payload, domain=domain, selector=selector, pem=pem, at_ms=message.created_ms)
    sender = mime.address(settings["from_email"], "from_email", utf8=True)
    recipient = mime.address(message.address, "address", utf8=True)
    return SmtpRequest(
        host=settings["host"],
        port=int(settings.get("port", 587)),
        security=settings.get("security", "starttls"),
        username=account.credentials.get("username"),
        password=account.credentials.get("password"),
        sender=sender,
        recipient=recipient,
        payload=payload,
        utf8=not payload.isascii() or not (sender + recipient).isascii(),
    )


def read(response: SmtpReply, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of the decisive reply; 250 to the final dot is the only success."""
    detail = f"{response.stage}: {response.code} {' '.join(response.text.split())}"[:ATTEMPT_DETAIL_CHARS_MAX]
    if response.stage == "data" and 200 <= response.code < 300:
        return Accepted(mime.message_id(message.delivery_id, account.settings["from_email"]))
    match _meaning(response):
        case "again":
            return Transient(detail)
        case "again_slowly":
            return Transient(detail, RETRY_MS)
        case "later":
            return Throttled(RETRY_MS, detail)
        case "account":
            return Misconfigured(detail)
        case "dead":
            return InvalidRecipient(detail)
        case reason:
            return Refused(reason, detail)


def _meaning(reply: SmtpReply) -> str:
    enhanced = _ENHANCED.match(reply.text)
    line = f"{reply.code} {enhanced[1] if enhanced else ''}"
    for stages, pattern, meaning in _RULES:
        if (stages == "*" or reply.stage in stages) and pattern.fullmatch(line):
            return meaning
    return "rejected"


def verify_request(account: Account, *, now_ms: int, token: str | None) -> SmtpRequest:
    """Return a transaction for its first steps alone: connect, TLS, AUTH."""
    settings, credentials = account.settings, account.credentials
    signer = settings.get("dkim_domain"), settings.get("dkim_selector"), credentials.get("dkim_private_key")
    if any(signer):
        domain, selector, pem = (text or "" for text in signer)
        dkim.signed(b"From: <a@b.test>\r\n\r\n", domain=domain, selector=selector, pem=pem, at_ms=now_ms)
    return SmtpRequest(
        host=settings["host"],
        port=int(settings.get("port", 587)),
        security=settings.get("security", "starttls"),
        username=credentials.get("username"),
        password=credentials.get("password"),
        sender="",
        recipient="",
        payload=b"",
    )


def read_verify(response: SmtpReply, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the server refused user and password, or requires them, else None."""
    at_fault = response.code in (530, 534, 535, 538) or (response.stage == "auth" and response.code >= 500)
    if not at_fault:
        return None
    detail = f"{response.stage}: {response.code} {' '.join(response.text.split())}"
    return Misconfigured(detail[:ATTEMPT_DETAIL_CHARS_MAX])
