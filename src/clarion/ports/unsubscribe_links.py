"""Unsubscribe links of e-mails."""

from typing import Protocol

import msgspec


class UnsubscribeSubject(msgspec.Struct, frozen=True, array_like=True):
    """The subject of an unsubscribe link: a user, or the address of a recipient without one, and the category on a
    channel."""

    tenant: str
    user_id: str
    address: str
    category: str
    channel: str


class UnsubscribeLinks(Protocol):
    """Creates links and reads the tokens in them."""

    def url(self, subject: UnsubscribeSubject) -> str:
        """Return the link, always the same for a subject; empty when mail programs would not follow it, or when it is
        too long."""
        ...

    def read(self, token: str) -> UnsubscribeSubject | None:
        """Return the subject of a link's token, or None when the token is not valid."""
        ...
