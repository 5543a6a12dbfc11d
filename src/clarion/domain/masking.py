"""Masking of secrets in the words of servers: some quote the request."""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

MASK: Final = "***"
SECRET_CHARS_MIN: Final = 6
"""A shorter text is not a secret, and masking it would only garble the words around it."""
_ENCODED: Final = re.compile(r"(\bBasic\s+)?([A-Za-z0-9+/_-]{8,})={0,2}", re.IGNORECASE)
"""Text that may be base64, and whether it is in the place of user name and password (RFC 7617)."""
_PAIR: Final = re.compile(rb"[ -~]*:[ -~]*")
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and line ends: a terminal or a log that shows a server's words must not act on them."""


def secrets_of(credentials: Mapping[str, Any], token: str | None = None) -> list[str]:
    """Return the texts to mask, the longest first, so that masking one never leaves a part of another."""
    found = [value for value in (*credentials.values(), token) if isinstance(value, str)]
    forms = {form for text in found if len(text) >= SECRET_CHARS_MIN for form in (text, quote(text, safe=""))}
    return sorted(forms, key=len, reverse=True)


def mask_secrets(words: str, secrets: Iterable[str]) -> str:
    """Return words with the secrets masked, and with base64 that contains one masked, as in an `Authorization`
    header."""
    secrets = list(secrets)
    for secret in secrets:
        words = words.replace(secret, MASK)
    known = [secret.encode(errors="replace") for secret in secrets]
    return _ENCODED.sub(lambda found: _shown(found, known), words)


def _shown(found: re.Match[str], secrets: Iterable[bytes]) -> str:
    scheme, text = found[1] or "", found[2].replace("-", "+").replace("_", "/")
    # The words may have been cut off within it; a single letter left over makes no byte.
    text = text[: len(text) - (len(text) % 4 == 1)]
    masked = b64decode(text + "=" * (-len(text) % 4))
    # Text in the place of a password is one, even when it was cut off.
    hidden = any(secret in masked for secret in secrets) or (scheme and _PAIR.fullmatch(masked))
    return scheme + MASK if hidden else found[0]


def printable(words: str) -> str:
    """Return words without control characters and line ends."""
    return _UNSHOWN.sub("\ufffd", words)
