"""Links by which the recipient of an e-mail ends such e-mails."""

from typing import Protocol

import msgspec


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """Who wants no more of what: a user, or the address of a recipient without one, and the category on a channel."""

    tenant: str
    user_id: str
    address: str
    category: str
    channel: str


class Unsubscribing(Protocol):
    """Makes links and reads the tokens in them."""

    def url(self, subject: Subject) -> str:
        """Return the link, always the same for a subject; empty when mail programs would not follow it, or it is too
        long."""
        ...

    def read(self, token: str) -> Subject | None:
        """Return whom a token of such a link speaks for, or None when anything about it is wrong."""
        ...
