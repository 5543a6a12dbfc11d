"""The vault: encrypts credentials at rest and derives the keys for signatures."""

from typing import Protocol

from clarion.domain.errors import OperatorError


class SealBroken(OperatorError):
    """A sealed value cannot be opened: the master key is wrong, or the value was altered or moved to another record."""


class Vault(Protocol):
    """Authenticated encryption bound to a tenant and a record, and key derivation, from one master key."""

    def seal(self, tenant: str, record_id: str, plaintext: bytes) -> bytes:
        """Return the plaintext encrypted so that it opens only for the same tenant and record."""
        ...

    def open(self, tenant: str, record_id: str, sealed: bytes) -> bytes:
        """Return the plaintext of a sealed value. Raises `SealBroken`."""
        ...

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose: always the same, and independent of the key of any other purpose."""
        ...
