"""API keys: how one is written (`clk_<key id>_<secret>`) and what is stored of it."""

import base64
from hashlib import blake2b
from typing import Final

KEY_PREFIX: Final = "clk"
KEY_ID_BYTES: Final = 8
SECRET_BYTES: Final = 32


def key_of(key_id: str, random: bytes) -> str:
    """Return a key as its owner gets it."""
    return f"{KEY_PREFIX}_{key_id}_{base64.urlsafe_b64encode(random).rstrip(b'=').decode()}"


def key_id_of(secret: str) -> str | None:
    """Return the id written in a key, or None when the text is no key."""
    parts = secret.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX else None


def key_digest(secret: str) -> bytes:
    """Return what is stored of a key.

    A plain fast hash is enough: a key is 256 random bits, which no dictionary holds and no one can enumerate, so the
    slowness and salt that passwords need would only slow down every request.
    """
    return blake2b(secret.encode(), digest_size=32, person=b"clarion-api-key").digest()
