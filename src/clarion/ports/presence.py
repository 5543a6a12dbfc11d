"""Who is connected to which gateway: a shared fact that may be lost at any time, and is recorded again.

A row lasts as long as its gateway says that it is at work, by the store's clock.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

User = tuple[str, str]
"""Tenant and user id."""


class Connected(NamedTuple):
    """How many connections a user has at a gateway; 0: none any more."""

    tenant: str
    user_id: str
    connections: int


class Presence(Protocol):
    """The users who are connected. Raises `Overloaded` or `StoreUnavailable` when the store cannot be used now, and
    `DurabilityError` when it is broken."""

    async def renew(self, gateway: str, ttl_ms: int) -> bool:
        """Record that a gateway is at work for so long, and remove what lapsed gateways left. Return whether the gateway was
        known; otherwise nothing is recorded of its users."""
        ...

    async def record(self, gateway: str, changes: Sequence[Connected]) -> None:
        """Record connections of users at a gateway. No user may occur twice."""
        ...

    async def present(self, users: Sequence[User]) -> Mapping[User, int]:
        """Return those of the users who are connected, with their connections at all gateways."""
        ...

    async def gateways(self) -> int:
        """Return how many gateways with clients are at work."""
        ...

    async def withdraw(self, gateway: str) -> None:
        """Forget a gateway and its users."""
        ...

    def close(self) -> None:
        """Close all connections and files."""
        ...
