"""E-mail messages (RFC 5322, MIME) from cached skeletons: 60 us instead of the 3 ms of `email.message.EmailMessage`.

Bodies are base64 (RFC 2045 6.8), so no line is over 76 characters, nothing needs 8BITMIME, and no text can hold the
boundary. Header text that is not plain is written as encoded-words (RFC 2047). Every value that reaches a header passes
`plain`, which refuses every character that some parser treats as the end of a line.
"""

import binascii
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import idna

from clarion.domain.attachment import Attachment
from clarion.domain.limits import EMAIL_CHARS_MAX, NAME_CHARS_MAX
from clarion.domain.limits_content import SUBJECT_CHARS_MAX
from clarion.domain.limits_delivery import MIME_SKELETONS_MAX
from clarion.ports.vendor import ContentLimit
from clarion.providers import mime_files

SUBJECT: Final = ContentLimit(("subject",), "chars", SUBJECT_CHARS_MAX, "shorten", "a line of RFC 5322")
SENDER_NAME: Final = ContentLimit(("from_name",), "chars", NAME_CHARS_MAX, "refuse")
_BREAKS: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")
_ATOMS: Final = re.compile(r"[!#-'*+\-/-9=?A-Z^-~]+(?:\.[!#-'*+\-/-9=?A-Z^-~]+)*")
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
                            r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*")  # fmt: skip
_DOMAIN_CHARS_MAX: Final = 253
_FOREIGN: Final = re.compile("[^\x00-\x7f]")
_READABLE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_LINK: Final = re.compile(r"(?:https://|mailto:)[!#-;=?-~]+")
_LINE_CHARS_MAX: Final = 900
"""Well inside the 998 of RFC 5322 2.1.1 with the longest header name in front."""
_WORD_BYTES: Final = 39
"""UTF-8 bytes of an encoded-word: 52 of base64 and 12 of frame keep a folded line within the 76 of RFC 2047 2."""
_FOLD: Final = "\r\n "
_NONE: Final[Mapping[str, str]] = {}
_DAYS: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def plain(text: str, field: str) -> str:
    """Return the text, or raise `ValueError` when it holds a control character or a line or paragraph separator."""
    if _BREAKS.search(text):
        raise ValueError(f"{field} holds a line break or control character")
    return text


@lru_cache(maxsize=MIME_SKELETONS_MAX)
def address(text: str, field: str, *, utf8: bool = False) -> str:
    """Return an e-mail address with its domain in ASCII. The part before the @ may be in another script only with
    `utf8` (RFC 6531). Raises `ValueError` when it is not an address."""
    local, _, host = plain(text, field).rpartition("@")
    name = _ascii(host)
    if not name or len(text) > EMAIL_CHARS_MAX or not _ATOMS.fullmatch(_FOREIGN.sub("x", local)):
        raise ValueError(f"{field} is not an e-mail address that can be mailed to")
    if not utf8 and not local.isascii():
        raise ValueError(
            f"{field} has characters beyond ASCII before its @: that takes SMTPUTF8, which is not spoken here"
        )
    return f"{local}@{name}"


def domain(text: str, field: str) -> str:
    """Return the name of a domain in ASCII. Raises `ValueError` when it is not a domain."""
    name = _ascii(plain(text, field))
    if not name:
        raise ValueError(f"{field} is not the name of a domain")
    return name


def _ascii(text: str) -> str:
    """Return a domain in its form in DNS, "" when it has none.

    Other scripts are encoded by IDNA 2008 after the mapping of UTS 46, as in browsers. IDNA 2003, in the standard
    library, maps `straße` to `strasse`, which is another domain.
    """
    if len(text) > _DOMAIN_CHARS_MAX:
        return ""
    try:
        name = text if text.isascii() else idna.encode(text, uts46=True, transitional=False).decode()
    except UnicodeError:
        return ""
    return name if _DOMAIN.fullmatch(name) else ""


def unstructured(text: str, field: str) -> str:
    """Return header text in its wire form: unchanged when plain ASCII, else as encoded-words folded at 76."""
    plain(text, field)
    if len(text) <= _LINE_CHARS_MAX and _READABLE.fullmatch(text) and "=?" not in text:
        return text
    words: list[str] = []
    chunk: list[str] = []
    size = 0
    for char in text:
        width = len(char.encode())
        if size + width > _WORD_BYTES:
            words.append("".join(chunk))
            chunk, size = [], 0
        chunk.append(char)
        size += width
    words.append("".join(chunk))
    return "\r\n ".join(f"=?utf-8?b?{binascii.b2a_base64(w.encode(), newline=False).decode()}?=" for w in words if w)


@lru_cache(maxsize=MIME_SKELETONS_MAX)
def mailbox(name: str, email: str, field: str, *, utf8: bool = False) -> str:
    """Return `"Name" <address>`, or the bare address without a name; `utf8` as for `address`."""
    SENDER_NAME.check(len(name))
    spec = address(email, field, utf8=utf8)
    if not name:
        return spec
    encoded = unstructured(name, field)
    if encoded == name:
        encoded = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    # Folded, so that the address never stretches a line of encoded-words over its limit.
    return f"{encoded}\r\n <{spec}>"


@lru_cache(maxsize=MIME_SKELETONS_MAX)
def _skeleton(sender: str, sender_name: str, reply_to: str) -> str:
    """Return the header lines that all messages of an account have in common."""
    lines = f"From: {mailbox(sender_name, sender, 'from_email', utf8=True)}\r\n"
    if reply_to:
        lines += f"Reply-To: {address(reply_to, 'reply_to', utf8=True)}\r\n"
    return lines + "MIME-Version: 1.0\r\n"


def date(at_ms: int) -> str:
    """Return a time as an RFC 5322 date in UTC (`email.utils` takes ten times as long)."""
    days, second = divmod(at_ms // 1000, 86_400)
    year, month, day = _civil(days)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{_DAYS[days % 7]}, {day:02} {_MONTHS[month - 1]} {year:04} {clock} +0000"


@lru_cache(maxsize=64)
def _civil(days: int) -> tuple[int, int, int]:
    """Return (year, month, day) of a number of days since 1970-01-01 (proleptic Gregorian)."""
    era, of_era = divmod(days + 719_468, 146_097)
    of_era_year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * of_era_year + of_era_year // 4 - of_era_year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return of_era_year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def message_id(delivery_id: str, sender: str) -> str:
    """Return the Message-ID without brackets: the same on each attempt, so that receivers can drop a duplicate."""
    return f"{delivery_id}@{address(sender, 'from_email', utf8=True).rpartition('@')[2]}"


def _part(kind: str, text: str) -> bytes:
    """Return one body part with its headers. Lines end in CRLF before encoding, as RFC 2045 6.8 requires for text."""
    try:
        body = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    except UnicodeEncodeError:
        raise ValueError(f"the {kind} part holds half a surrogate pair") from None
    encode = binascii.b2a_base64
    lines = b"\r\n".join([encode(body[at : at + 57], newline=False) for at in range(0, len(body), 57)])
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return b"%s%s\r\n" % (head.encode(), lines)


def build(
    *,
    delivery_id: str,
    created_ms: int,
    sender: str,
    sender_name: str,
    reply_to: str,
    recipient: str,
    subject: str,
    text: str,
    html: str,
    headers: Mapping[str, str] = _NONE,
    files: Sequence[Attachment] = (),
) -> bytes:
    """Return the whole message, the same bytes for the same arguments. Raises `ValueError` naming the invalid field.

    It is ASCII unless an address has other characters before its @. `headers` are additional ones, of links and tokens.
    Files with a `cid` are in one part with the HTML that shows them (RFC 2387), other files at the end of the message.
    """
    SUBJECT.check(len(subject))
    if not text and not html:
        raise ValueError("an e-mail needs a text or an html part")
    head = (
        f"{_skeleton(sender, sender_name, reply_to)}To: {address(recipient, 'address', utf8=True)}\r\n"
        f"Subject: {unstructured(subject, 'subject')}\r\n"
        f"Message-ID: <{message_id(plain(delivery_id, 'delivery_id'), sender)}>\r\nDate: {date(created_ms)}\r\n"
    )
    for name, value in headers.items():
        head += f"{name}: {plain(value, name).replace(', <', f',{_FOLD}<')}\r\n"
    inline, beside = mime_files.split(files, html=bool(html)) if files else ((), ())
    parts = [_part("plain", text)] if text else []
    if html:
        shown = [mime_files.part(file, inline=True) for file in inline]
        page = _part("html", html)
        parts.append(_multipart('related; type="text/html"', f"=_r_{delivery_id}", [page, *shown]) if shown else page)
    body = parts[0] if len(parts) == 1 else _multipart("alternative", f"=_{delivery_id}", parts)
    if beside:
        attached = [mime_files.part(file, inline=False) for file in beside]
        body = _multipart("mixed", f"=_m_{delivery_id}", [body, *attached])
    return head.encode() + body


def _multipart(kind: str, mark: str, parts: Sequence[bytes]) -> bytes:
    """Return complete parts as one multipart with its header. All lines of bodies are base64, which has no underscore,
    so none can be the boundary."""
    between = f"--{mark}\r\n".encode()
    head = f'Content-Type: multipart/{kind}; boundary="{mark}"\r\n\r\n'.encode()
    return b"%s%s%s--%s--\r\n" % (head, between, between.join(parts), mark.encode())


def link(url: str) -> str:
    """Return an https or mailto link fit for a header. Raises `ValueError` when it is not such a link."""
    plain(url, "list_unsubscribe")
    if len(url) > _LINE_CHARS_MAX or not _LINK.fullmatch(url) or not (urlsplit(url).netloc or urlsplit(url).path):
        raise ValueError("list_unsubscribe is not an https or mailto link")
    return url
