"""Shared by SMS vendors: checked text and number, the GSM alphabet, and outcomes of calls without an idempotency
key."""

import re
from typing import Final

from clarion.domain.message import HttpResponse, Message
from clarion.domain.outcome import Ambiguous, Misconfigured, Outcome
from clarion.domain.sms import measure
from clarion.ports.vendor import ContentLimit
from clarion.providers.answers import by_status, error_detail, retry_after_ms

SEGMENTS: Final = ContentLimit(
    ("body",),
    "segments",
    1,
    "split",
    "160 characters of the GSM alphabet or 70 of any other; a longer text is sent as several SMS of 153 or 67",
)
_NUMBER: Final = re.compile(r"\+?([1-9][0-9]{6,14})")


def text_of(message: Message) -> str:
    """Return the text of an SMS. Raises `ValueError` when there is none or it cannot be encoded."""
    text = message.parts.get("body") or ""
    if not text:
        raise ValueError("the body of an SMS is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the body part holds half a surrogate pair") from None
    return str(text)


def digits_of(message: Message) -> str:
    """Return the recipient's number in international form without its plus. Raises `ValueError` when it is no
    number."""
    found = _NUMBER.fullmatch(message.address)
    if found is None:
        raise ValueError("address is not a phone number in international form")
    return found[1]


def in_gsm(text: str) -> bool:
    """Return whether a text fits the GSM alphabet, which every phone has: 160 characters an SMS instead of 70."""
    return measure(text).encoding == "gsm-7"


def by_status_unkeyed(response: HttpResponse, now_ms: int, words: str = "") -> Outcome:
    """Return the outcome of a status when a repeat is a second SMS: as `by_status`, but after a 5xx, and after a
    success that cannot be read, the message may have been sent. A 404 means a wrong `base_url`, as there is only one
    path."""
    if 200 <= response.status < 300 or response.status >= 500:
        return Ambiguous(error_detail(response, words), retry_after_ms(response.headers, now_ms))
    if response.status == 404:
        return Misconfigured(error_detail(response, words))
    return by_status(response, now_ms, words)
