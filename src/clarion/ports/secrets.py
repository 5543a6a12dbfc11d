"""The vault: what keeps credentials unreadable at rest and derives the keys of everything signed."""

from typing import Protocol

from clarion.domain.errors import OperatorError


class SealBroken(OperatorError):
    """A sealed value does not open: wrong master key, or it was altered or moved to another record."""


class Vault(Protocol):
    """Authenticated encryption bound to a tenant and a record, and key derivation, from one master key."""

    def seal(self, tenant: str, record_id: str, plaintext: bytes) -> bytes:
        """Return the plaintext encrypted so that it opens only for the same tenant and record."""
        ...

    def open(self, tenant: str, record_id: str, sealed: bytes) -> bytes:
        """Return the plaintext of a sealed value. Raises `SealBroken`."""
        ...

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes that are always the same for a purpose and tell nothing about any other."""
        ...
