"""Parsers of untrusted calls from providers: fields, signatures, numbers and times."""

import hmac
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from clarion.domain.address import phone
from clarion.domain.errors import InvalidField
from clarion.domain.limits_delivery import (
    ATTEMPT_DETAIL_CHARS_MAX,
    CALL_FIELDS_MAX,
    CALL_FORM_BYTES_MAX,
    SECONDS_DIGITS_MAX,
)


def form_of(encoded: bytes | str) -> list[tuple[str, str]] | None:
    """Return the fields of a form or query in order, None when it is not valid, not UTF-8, or longer than any
    provider's."""
    if len(encoded) > CALL_FORM_BYTES_MAX:
        return None
    try:
        text = encoded.decode() if isinstance(encoded, bytes) else encoded
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=CALL_FIELDS_MAX)
    except ValueError:
        return None


def query_of(url: str) -> list[tuple[str, str]] | None:
    """Return the fields of a URL's query, as `form_of` does."""
    return form_of(url.partition("#")[0].partition("?")[2])


def json_of(body: bytes) -> Any:
    """Return the JSON value of a body, None when it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def same(given: str, expected: str) -> bool:
    """Return whether two secrets or signatures are equal, in a time independent of where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode(errors="replace"))


def hex_hmac(secret: str, body: bytes, method: str) -> str:
    """Return the HMAC of a body in lower-case hexadecimal."""
    return hmac.new(secret.encode(), body, method).hexdigest()


def plain(value: Any) -> str:
    """Return the text of a JSON string or whole number, "" for anything else."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of a list without its other values; an empty list when the value is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def part(value: Any, name: str) -> dict[str, Any]:
    """Return the object that a JSON object has under a name, an empty one when there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def number_of(text: str) -> str:
    """Return a phone number in E.164, given with or without its plus; "" when it is none, such as a sender's name."""
    digits = text.strip().removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        return ""
    try:
        return phone(f"+{digits}", "address")
    except InvalidField:
        return ""


def event_id(*parts: str) -> str:
    """Return the id of an event: the same for the same parts, and of bounded length for any input."""
    # Lengths keep ("a", "bc") and ("ab", "c") apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()


def line(*words: str) -> str:
    """Return a provider's own text as one bounded line."""
    return " ".join(" ".join(words).split())[:ATTEMPT_DETAIL_CHARS_MAX]


def seconds_ms(text: str) -> int:
    """Return Unix seconds, as text, in milliseconds; 0 when they are none."""
    return int(text) * 1000 if text.isascii() and text.isdigit() and len(text) <= SECONDS_DIGITS_MAX else 0


def utc_ms(text: str) -> int:
    """Return `YYYY-MM-DD HH:MM:SS` of UTC in Unix milliseconds; 0 when it is none."""
    try:
        return max(int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() * 1000), 0)
    except ValueError:
        return 0
