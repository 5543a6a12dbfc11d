"""API keys: their text forms, the checksum by which a mistyped one is recognized, and the digest that is stored.

A tenant's key is `clk_<key id>_<random><checksum>`, the operator's `clo_<random><checksum>`: 32 random bytes as 43
characters of base62 and the CRC-32 of all text before it as 6. So scanners find keys in files and can tell them from
other text without a request. Keys of tenants made before there was a checksum end in 43 characters of base64url.
"""

import re
from hashlib import blake2b
from typing import Final
from zlib import crc32

import msgspec

from clarion.domain.networks import Network

KEY_PREFIX: Final = "clk"
OPERATOR_PREFIX: Final = "clo"
KEY_ID_BYTES: Final = 8
SECRET_BYTES: Final = 32

KEY_PATTERN: Final = r"\bcl(?:k_[0-9a-f]{16}|o)_[0-9A-Za-z]{49}\b"
"""A regular expression for scanners that search text for keys; `is_checked` tells which of its matches are keys."""


class ApiKey(msgspec.Struct, frozen=True):
    """A tenant's key, as requests with it are checked. Without networks it may be used from anywhere."""

    tenant: str
    key_id: str
    scopes: tuple[str, ...]
    expires_ms: int | None = None
    networks: tuple[Network, ...] = ()

    def is_valid(self, now_ms: int) -> bool:
        """Return whether the key has not expired."""
        return self.expires_ms is None or now_ms < self.expires_ms


_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS: Final = 43
_CHECKSUM_CHARS: Final = 6
_CHECKED: Final = re.compile(KEY_PATTERN, re.ASCII)
_UNCHECKED: Final = re.compile(r"clk_[0-9a-f]{16}_[0-9A-Za-z_-]{43}", re.ASCII)
_STARTS: Final = (f"{KEY_PREFIX}_", f"{OPERATOR_PREFIX}_")


def key_of(key_id: str, random: bytes) -> str:
    """Return the text form of a tenant's key, as its owner gets it."""
    return _with_checksum(f"{KEY_PREFIX}_{key_id}_{_base62(int.from_bytes(random, 'big'), _RANDOM_CHARS)}")


def operator_key_of(random: bytes) -> str:
    """Return the text form of an operator's key."""
    return _with_checksum(f"{OPERATOR_PREFIX}_{_base62(int.from_bytes(random, 'big'), _RANDOM_CHARS)}")


def key_id_of(secret: str) -> str | None:
    """Return the id in the text of a tenant's key, or None when the text is not a key or its checksum is wrong."""
    if is_checked(secret) or _UNCHECKED.fullmatch(secret):
        prefix, _, rest = secret.partition("_")
        return rest.partition("_")[0] if prefix == KEY_PREFIX else None
    return None


def is_checked(secret: str) -> bool:
    """Return whether a text has the form of a key with a checksum, and the checksum is right."""
    text, checksum = secret[:-_CHECKSUM_CHARS], secret[-_CHECKSUM_CHARS:]
    return _CHECKED.fullmatch(secret) is not None and checksum == _checksum(text)


def is_mistyped(secret: str) -> bool:
    """Return whether a text begins like a key and cannot be one."""
    return secret.startswith(_STARTS) and not is_checked(secret) and _UNCHECKED.fullmatch(secret) is None


def key_digest(secret: str) -> bytes:
    """Return the digest of a key, which is stored in its place.

    A plain fast hash is enough: a key is 256 random bits, which no dictionary holds and no one can enumerate, so the
    slowness and salt that passwords need would only slow down every request.
    """
    return blake2b(secret.encode(), digest_size=32, person=b"clarion-api-key").digest()


def _with_checksum(text: str) -> str:
    return text + _checksum(text)


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode()), _CHECKSUM_CHARS)


def _base62(number: int, chars: int) -> str:
    digits = []
    for _ in range(chars):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
