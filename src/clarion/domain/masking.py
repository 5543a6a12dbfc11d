"""Words of others without the secrets they were sent: some servers quote them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

MASK: Final = "***"
_SECRET_CHARS_MIN: Final = 6
"""What is shorter is no secret, and masking it would only garble the words around it."""
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and line ends: a terminal or a log that shows a server's words must not act on them."""


def secrets_of(credentials: Mapping[str, Any], token: str | None = None) -> list[str]:
    """Return the texts that must not be repeated, the longest first, so that none hides a part of another."""
    found = [value for value in (*credentials.values(), token) if isinstance(value, str)]
    return sorted((text for text in found if len(text) >= _SECRET_CHARS_MIN), key=len, reverse=True)


def unsaid(words: str, secrets: Iterable[str]) -> str:
    """Return words without the secrets in them."""
    for secret in secrets:
        words = words.replace(secret, MASK)
    return words


def printable(words: str) -> str:
    """Return words without characters that a terminal or a log might act on."""
    return _UNSHOWN.sub("\ufffd", words)
