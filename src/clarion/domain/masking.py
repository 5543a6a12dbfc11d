"""Words of others without the secrets they were sent: some servers quote them."""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

MASK: Final = "***"
_SECRET_CHARS_MIN: Final = 6
"""What is shorter is no secret, and masking it would only garble the words around it."""
_ENCODED: Final = re.compile(r"(\bBasic\s+)?([A-Za-z0-9+/_-]{8,})={0,2}", re.IGNORECASE)
"""What may be base64, and whether it stands where user name and password do (RFC 7617)."""
_PAIR: Final = re.compile(rb"[ -~]*:[ -~]*")
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and line ends: a terminal or a log that shows a server's words must not act on them."""


def secrets_of(credentials: Mapping[str, Any], token: str | None = None) -> list[str]:
    """Return the texts that must not be repeated, the longest first, so that none hides a part of another."""
    found = [value for value in (*credentials.values(), token) if isinstance(value, str)]
    forms = {form for text in found if len(text) >= _SECRET_CHARS_MIN for form in (text, quote(text, safe=""))}
    return sorted(forms, key=len, reverse=True)


def unsaid(words: str, secrets: Iterable[str]) -> str:
    """Return words without the secrets in them, and without base64 that holds one, as an `Authorization` does."""
    secrets = list(secrets)
    for secret in secrets:
        words = words.replace(secret, MASK)
    known = [secret.encode(errors="replace") for secret in secrets]
    return _ENCODED.sub(lambda found: _shown(found, known), words)


def _shown(found: re.Match[str], secrets: Iterable[bytes]) -> str:
    scheme, text = found[1] or "", found[2].replace("-", "+").replace("_", "/")
    # The words may have been cut off within it; a single letter left over makes no byte.
    text = text[: len(text) - (len(text) % 4 == 1)]
    told = b64decode(text + "=" * (-len(text) % 4))
    # What stands where a password does is one, even when it was cut off.
    hidden = any(secret in told for secret in secrets) or (scheme and _PAIR.fullmatch(told))
    return scheme + MASK if hidden else found[0]


def printable(words: str) -> str:
    """Return words without characters that a terminal or a log might act on."""
    return _UNSHOWN.sub("\ufffd", words)
