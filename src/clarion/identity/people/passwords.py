"""Passwords and recovery codes, as they are stored and compared."""

import asyncio
import base64
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from clarion.domain.errors import Overloaded
from clarion.domain.limits_people import (
    ARGON2_ITERATIONS,
    ARGON2_MEMORY_KIB,
    PASSWORD_CHARS_MAX,
    PASSWORD_HASHES_MAX,
    PASSWORDS_WAITING_MAX,
    RECOVERY_CODE_BYTES,
    RECOVERY_CODES,
)
from clarion.ports.clock import Clock

D = TypeVar("D")
T = TypeVar("T")
_SALT_BYTES: Final = 16
_LENGTH: Final = 32


class Passwords:
    """Hashes passwords with Argon2id (RFC 9106) in threads, few at a time. Belongs to one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns = asyncio.Semaphore(PASSWORD_HASHES_MAX)
        self._waiting = 0
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        """Return what is stored of a password."""
        return await self._in_turn(_hashed, password, self._clock.entropy(_SALT_BYTES))

    async def match(self, password: str, stored: str | None) -> bool:
        """Return whether a password is the one stored. It takes as long for somebody who has none, so that nobody learns who has."""
        if stored is None and not self._nobodys:
            self._nobodys = await self.hash(base64.b64encode(self._clock.entropy(_LENGTH)).decode())
        right = await self._in_turn(_matches, password[: PASSWORD_CHARS_MAX + 1], stored or self._nobodys)
        return right and stored is not None

    async def _in_turn(self, work: Callable[[str, D], T], password: str, other: D) -> T:
        if self._waiting >= PASSWORDS_WAITING_MAX:
            raise Overloaded("too many passwords are being checked", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, password, other)
        finally:
            self._waiting -= 1


def recovery_codes(clock: Clock) -> list[str]:
    """Return new recovery codes, each of 80 random bits in groups of four letters and digits."""
    texts = [base64.b32encode(clock.entropy(RECOVERY_CODE_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(text[place : place + 4] for place in range(0, len(text), 4)) for text in texts]


def recovery_digest(code: str) -> str:
    """Return what is stored of a recovery code, however it is typed."""
    plain = "".join(code.split()).replace("-", "").lower()
    return blake2b(plain.encode(), digest_size=16, person=b"clarion-recover").hexdigest()


def _hashed(password: str, salt: bytes) -> str:
    hashing = Argon2id(salt=salt, length=_LENGTH, iterations=ARGON2_ITERATIONS, lanes=1, memory_cost=ARGON2_MEMORY_KIB)
    return hashing.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def _matches(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "surrogatepass"), stored)
    except InvalidKey:
        return False
    return True
