"""The checked parts of a message for e-mail APIs: addresses in ASCII, names and subject of one line, links fit for a
header.

These APIs write the MIME message themselves, so they get names and subjects as plain Unicode, neither folded nor
encoded.
"""

from typing import Final

import msgspec

from clarion.domain.content import Account
from clarion.domain.message import Message
from clarion.ports.vendor import ContentLimit, Field
from clarion.providers import mime, unsubscribe_headers

_ADDRESS: Final = r"[^@\s]+@[^@\s]+"

PARTS: Final = ("subject", "text", "html", "from_name", "reply_to")
SENDER: Final = (
    Field("from_email", required=True, about="sender", pattern=_ADDRESS),
    Field("from_name", about="sender's name", default=""),
    Field("reply_to", about="where answers go", pattern=_ADDRESS),
    Field("list_unsubscribe", about="https link, or mailto link besides one-click; metadata may carry another"),
)
"""The settings of an account's sender."""
WHOLE: Final = ("text", "html", "attachments")
"""The parts that a limit on a whole e-mail covers."""
LIMITS: Final = (mime.SUBJECT, mime.SENDER_NAME)


def whole(bytes_max: int, about: str) -> ContentLimit:
    """Return a limit on the bytes of a whole e-mail."""
    return ContentLimit(WHOLE, "bytes", bytes_max, "refuse", about)


class Envelope(msgspec.Struct, frozen=True):
    """A checked message; `reply_to` may be empty, and so may one of `text` and `html`.

    `headers` are those of `unsubscribe_headers`.
    """

    sender: str
    sender_name: str
    recipient: str
    reply_to: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]


def seal(message: Message, account: Account) -> Envelope:
    """Return the envelope for the API; a template's own sender name and reply address come before the account's.

    Raises `ValueError` naming the invalid field.
    """
    settings, parts = account.settings, message.parts
    subject, text, html = parts.get("subject") or "", parts.get("text") or "", parts.get("html") or ""
    name = parts.get("from_name") or settings.get("from_name") or ""
    reply_to = parts.get("reply_to") or settings.get("reply_to") or ""
    mime.SUBJECT.check(len(subject))
    mime.SENDER_NAME.check(len(name))
    if not text and not html:
        raise ValueError("an e-mail needs a text or an html part")
    return Envelope(
        sender=mime.address(settings["from_email"], "from_email"),
        sender_name=mime.plain(name, "from_name"),
        recipient=mime.address(message.address, "address"),
        reply_to=mime.address(reply_to, "reply_to") if reply_to else "",
        subject=mime.plain(subject, "subject"),
        text=text,
        html=html,
        headers=unsubscribe_headers.headers(message, settings),
    )


def mailbox(name: str, email: str) -> str:
    """Return `"Name" <address>` with the name quoted (RFC 5322 3.2.4), or the bare address without a name."""
    if not name:
        return email
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{email}>'


def size(text: str, field: str) -> int:
    """Return the bytes of a text in UTF-8. Raises `ValueError` when it holds half a surrogate pair."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the {field} part holds half a surrogate pair") from None
