"""Warnings about a rendered message: content that phones cut off, spam filters distrust or people cannot read."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from clarion.content.fit import payload_bytes
from clarion.control.templates.email_text import EmailText
from clarion.domain.channel import DEVICE_CHANNELS, Channel, Lane
from clarion.domain.content import Category
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX, SUBJECT_CHARS_MAX
from clarion.domain.locales import best, known
from clarion.domain.sms import measure
from clarion.ports.drafting import Rendered

SUBJECT_CHARS: Final = 60
"""The characters of a subject that most inboxes show."""
PREHEADER_CHARS: Final = 130
TITLE_CHARS: Final = 50
"""The characters of a title that a locked phone shows."""
HTML_BYTES: Final = 102 * 1024
"""The size at which Gmail cuts off an e-mail."""
SMS_SEGMENTS: Final = 3
_LOUD_CHARS: Final = 8
_EXCLAMATIONS: Final = 3
_TEXT_CHARS: Final = 40
_TEXT_WORDS: Final = 8
_SHARED_WORDS: Final = 0.3
_ODD_CHARS_SHOWN: Final = 10
_ELLIPSIS: Final = "…"

_MARKETING: Final = re.compile(r"market|promo|newsletter|campaign|offer|advert|werbung|angebot|boletin|oferta", re.I)
_LEAVING: Final = re.compile(
    r"unsubscri|opt[-_ ]?out|preferences|abmeld|abbestell|einstellungen|baja|cancelar|desuscri|preferencias", re.I
)
_SHORTENERS: Final = re.compile(
    r"//(?:www\.)?(?:bit\.ly|tinyurl\.com|goo\.gl|t\.co|ow\.ly|is\.gd|v\.gd|buff\.ly|rebrand\.ly|cutt\.ly|rb\.gy|"
    r"shorturl\.at|tiny\.cc|s\.id)/",
    re.I,
)
_PLAIN_HTTP: Final = re.compile(r"\bhttp://(?!localhost\b|127\.0\.0\.1\b|www\.w3\.org/)[^\s\"'<>)]{1,200}", re.I)
_WORD: Final = re.compile(r"\w{4,}")

HEADLINES: Final[Mapping[Channel, str]] = {
    Channel.EMAIL: "subject",
    Channel.PUSH: "title",
    Channel.WEBPUSH: "title",
    Channel.INAPP: "title",
}


class Finding(msgspec.Struct, frozen=True):
    """A finding; `code` is stable, `field` a part of the channel."""

    code: str
    channel: Channel
    field: str
    detail: str


Found = Iterator[tuple[str, str, str]]
"""Codes, fields and details."""


def is_marketing(category: Category | None) -> bool:
    """Return whether recipients may expect a way to unsubscribe: a category that is not critical and is sent in bulk,
    or has a key that indicates advertising."""
    if category is None or category.critical:
        return False
    return category.lane is Lane.BULK or _MARKETING.search(category.key) is not None


def warnings_of(parts: Mapping[Channel, Mapping[str, Any]], category: Category | None) -> list[Finding]:
    """Return the findings about rendered parts, channel by channel."""
    return [
        Finding(code, channel, field, detail)
        for channel, content in parts.items()
        for code, field, detail in _of(channel, content, marketing=is_marketing(category))
    ]


def _of(channel: Channel, parts: Mapping[str, Any], *, marketing: bool) -> Found:
    headline = HEADLINES.get(channel)
    if headline is not None:
        yield from _headline(
            headline, str(parts.get(headline, "")), SUBJECT_CHARS if headline == "subject" else TITLE_CHARS
        )
    for field, value in parts.items():
        yield from _links(field, value if isinstance(value, str) else msgspec.json.encode(value).decode())
    if channel is Channel.EMAIL:
        yield from _email(parts, marketing=marketing)
    elif channel is Channel.SMS:
        yield from _sms(str(parts.get("body", "")))
    elif channel in DEVICE_CHANNELS and shortened(parts):
        yield "push_shortened", "body", f"is cut to fit {PUSH_PAYLOAD_BYTES_MAX} bytes"


def shortened(parts: Mapping[str, Any]) -> bool:
    """Return whether the body of a push was probably cut to its payload limit, judged from the rendered parts."""
    return str(parts.get("body", "")).endswith(_ELLIPSIS) and payload_bytes(parts) > PUSH_PAYLOAD_BYTES_MAX // 2


def _headline(field: str, text: str, chars: int) -> Found:
    if not text.strip():
        yield f"{field}_empty", field, "is empty"
    elif len(text) >= SUBJECT_CHARS_MAX:
        yield f"{field}_cut", field, f"is cut to {SUBJECT_CHARS_MAX} characters"
    elif len(text) > chars:
        yield f"{field}_long", field, f"has {len(text)} characters; many readers see {chars}"
    if text.isupper() and sum(map(str.isalpha, text)) >= _LOUD_CHARS:
        yield "all_capitals", field, "is in capitals only, which spam filters and people distrust"
    if text.count("!") >= _EXCLAMATIONS or "!!" in text:
        yield "exclamation_marks", field, "has many exclamation marks, which spam filters distrust"


def _links(field: str, text: str) -> Found:
    if found := _PLAIN_HTTP.search(text):
        yield "http_link", field, f"has a link without encryption: {found[0]}"
    if found := _SHORTENERS.search(text):
        yield "link_shortener", field, f"has a link by {found[0].strip('/')}, which hides where it leads"


def _sms(body: str) -> Found:
    size = measure(body)
    if size.segments > SMS_SEGMENTS:
        yield "sms_long", "body", f"takes {size.segments} segments, each paid for"
    if size.encoding != "gsm-7":
        odd = "".join(dict.fromkeys(char for char in body if measure(char).encoding != "gsm-7"))[:_ODD_CHARS_SHOWN]
        yield "sms_unicode", "body", f"holds {odd}, so a segment carries 70 characters instead of 160"


def _email(parts: Mapping[str, Any], *, marketing: bool) -> Found:
    text, html = str(parts.get("text", "")), str(parts.get("html", ""))
    if not text.strip():
        yield "text_missing", "text", "there is no plain text for readers without HTML"
    letter = EmailText(html)
    if html:
        yield from _html(html, letter, text)
    if marketing and not any(_LEAVING.search(link) for link in (*letter.links, *_linked(text))):
        field = "html" if html else "text"
        yield "unsubscribe_missing", field, "has no link to unsubscribe, though its category advertises"


def _linked(text: str) -> Iterator[str]:
    """Yield the lines of a text that contain a link, each with the one before it: it usually describes the link."""
    before = ""
    for line in text.splitlines():
        if "https://" in line:
            yield f"{before} {line}"
        before = line


def _html(html: str, letter: EmailText, text: str) -> Found:
    size = len(html.encode())
    if size > HTML_BYTES:
        yield "html_large", "html", f"has {size} bytes; Gmail cuts it off after {HTML_BYTES}"
    if letter.images_without_alt:
        first = letter.images_without_alt[0][:200]
        yield "alt_missing", "html", f"{len(letter.images_without_alt)} images have no alt text, the first is {first}"
    if letter.images and len(letter.text) < _TEXT_CHARS:
        yield "image_only", "html", "is hardly more than images: filters distrust it, and many readers see nothing"
    words = set(_WORD.findall(letter.text.lower()))
    answer = set(_WORD.findall(text.lower()))
    if min(len(words), len(answer)) >= _TEXT_WORDS and len(words & answer) < _SHARED_WORDS * min(
        len(words), len(answer)
    ):
        yield "text_differs", "text", "differs from the HTML, which spam filters distrust"
    if letter.preheader is not None and len(letter.preheader) > PREHEADER_CHARS:
        yield (
            "preheader_long",
            "preheader",
            f"has {len(letter.preheader)} characters; no inbox shows more than {PREHEADER_CHARS}",
        )


def locale_warnings(rendered: Rendered, wanted: str) -> list[Finding]:
    """Return a finding for every channel when its locale is not the requested one."""
    if not wanted or best(wanted, (rendered.locale,)) is not None:
        return []
    reason = "there is no such locale" if known(wanted) is None else "the template does not have it"
    detail = f"{wanted} falls back to {rendered.locale}: {reason}"
    return [Finding("locale_fallback", channel, "", detail) for channel in rendered.parts]
