"""Masking of texts in log lines and tracebacks: what looks like a secret or an address is not written, whichever field or
exception it came in."""

import re
from typing import Final

MASK: Final = "***"

_PEM: Final = (
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]|\\n)*(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
)
_TOKENS: Final = (
    r"cl[a-z]_[A-Za-z0-9_-]{8,}",  # keys of tenants and operators
    r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?",  # JSON Web Tokens
    r"whsec_[A-Za-z0-9+/]{6,}=*",
    r"xox[a-z]-[A-Za-z0-9-]{4,}",
    r"SG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
    r"key-[0-9a-f]{32}",
    r"ya29\.[A-Za-z0-9_-]+",
)
_SECRET: Final = re.compile(
    rf"{_PEM}|{'|'.join(_TOKENS)}|(?<=://)[^\s/@\"'\\]{{1,512}}(?=@)"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{6,}|(?<=[Bb]asic )[A-Za-z0-9+/_-]{8,}={0,2}"
)
_NAMED: Final = re.compile(
    r"((?:authorization|cookie|credentials?|api_?key|passphrase|password|private_?key|secret|signature|token)"
    r"(?:\\?[\"'])?\s{0,3}[=:]\s{0,3}(?:b?\\?[\"'])?(?:(?:bearer|basic) )?)([^\s\"'\\,;&{}()\[\]]+)",
    re.IGNORECASE,
)
"""A value with its name, as in the representation of an object or in a URL."""
_ADDRESS: Final = re.compile(
    r"(?<![\w.+-])([\w+-]{2}|[\w+-](?=@))[\w.+-]{0,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}|(?<![\w+])(\+\d)\d{7,14}(?!\d)"
)
"""E-mail addresses and phone numbers, of which the first two characters are written."""


def masked_text(text: str) -> str:
    """Return a text without secrets and whole addresses."""
    text = _SECRET.sub(MASK, text)
    text = _NAMED.sub(rf"\g<1>{MASK}", text)
    return _ADDRESS.sub(lambda found: f"{found[1] or found[2]}{MASK}", text)
