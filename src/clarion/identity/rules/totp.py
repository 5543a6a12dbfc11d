"""Time-based one-time passwords (RFC 6238): six digits, 30 seconds, SHA-1, as authenticator apps know them."""

import base64
import hmac
from typing import Final
from urllib.parse import quote

from clarion.domain.limits_people import TOTP_STEP_S, TOTP_STEPS_AROUND

_DIGITS: Final = 6


def step_of(now_ms: int) -> int:
    """Return the number of the present step."""
    return now_ms // 1000 // TOTP_STEP_S


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a step."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    place = digest[-1] & 0xF
    number = int.from_bytes(digest[place : place + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**_DIGITS).zfill(_DIGITS)


def matching_step(secret: bytes, code: str, now_ms: int, used: int) -> int | None:
    """Return the step that a code is of, None when it is wrong or not after the last one used: a code counts once."""
    now, found = step_of(now_ms), None
    for step in range(now - TOTP_STEPS_AROUND, now + TOTP_STEPS_AROUND + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()) and step > used:
            found = step
    return found


def shown_secret(secret: bytes) -> str:
    """Return a secret as it is typed into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def address_of(secret: bytes, email: str, issuer: str) -> str:
    """Return the address that authenticator apps open."""
    return f"otpauth://totp/{quote(issuer)}:{quote(email)}?secret={shown_secret(secret)}&issuer={quote(issuer)}"
