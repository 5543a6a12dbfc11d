"""Stores of secrets that are given by reference, and the values of an account's credentials."""

from collections.abc import Mapping
from typing import Any, Protocol

from clarion.domain.content import Account
from clarion.domain.errors import ClarionError


class SecretUnavailable(ClarionError):
    """A secret cannot be used. `code` says why, `words` complete the sentence "<field>: the secret <reference> ..." and
    never contain any of it. `lasting` is False when the store could not be asked."""

    def __init__(self, code: str, words: str, *, lasting: bool = True) -> None:
        super().__init__(words)
        self.code = code
        self.words = words
        self.lasting = lasting
        self.field = ""
        self.reference = ""

    def of(self, field: str, reference: str) -> "SecretUnavailable":
        """Return the same error with the field that holds the reference, and the reference."""
        named = SecretUnavailable(self.code, self.words, lasting=self.lasting)
        named.field, named.reference = field, reference
        return named

    def __str__(self) -> str:
        return f"{self.code}: {self.field}: the secret {self.reference} {self.words}"


class SecretStore(Protocol):
    """One kind of store. It is called in a thread and may block; nobody waits for it longer than `SECRET_READ_MS_MAX`."""

    def read(self, place: str, root: str) -> bytes:
        """Return the secret at a place, unchanged, of any length up to a little over `SECRET_BYTES_MAX`. `root` is the
        part of the place that the operator permits; a store of files must not leave it. Raises `SecretUnavailable`."""
        ...


class Secrets(Protocol):
    """The values behind the references of accounts: read at use, and cached briefly."""

    def held(self, account: Account) -> Account | None:
        """Return the account with the values of its references when all of them are cached, else None."""
        ...

    async def resolve(self, account: Account) -> Account:
        """Return the account with the values of its references. Raises `SecretUnavailable`."""
        ...

    async def reread(self, account: Account, refused: Account) -> Account | None:
        """Return the account with newly read values after the vendor refused those of `refused`; None when they are
        the same. Raises `SecretUnavailable`."""
        ...

    async def values(self, tenant: str, sources: Mapping[str, str], path: str) -> dict[str, str]:
        """Return the values of references (`store:place`) by the names of the fields below `path` that hold them.
        Raises `SecretUnavailable`."""
        ...

    async def check(self, tenant: str, fields: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return the values of fields, some of which may be references, as they are now. Raises `SecretUnavailable`
        and, for a reference that is malformed, `InvalidField`."""
        ...
