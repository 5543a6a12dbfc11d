"""The inbox of one user: recorded items, broadcasts that contain the user, and the user's own marks."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from clarion.domain.inbox import Horizon, Item, ItemFacts, ItemPlace, Mark, Position


class Head(NamedTuple):
    """The position of a user now, with the horizon; None when none is set."""

    position: Position
    horizon: Horizon | None


class Scan(NamedTuple):
    """Items of broadcasts that were examined. Items of all others stand at or below the shared sequence `floor`; None
    when all were examined."""

    items: list[Item]
    floor: int | None


class Inbox(Protocol):
    """Read side of the inbox and the only writer of marks and withdrawals."""

    async def head(self, tenant: str, user_id: str) -> Head:
        """Return the user's position and horizon. Everything up to the position can be read from now on."""
        ...

    async def items(self, tenant: str, user_id: str, before: ItemPlace | None, limit: int) -> list[Item]:
        """Return the user's own items below a place, newest first."""
        ...

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: int | None, floor: int | None, limit: int
    ) -> Scan:
        """Examine the next `limit` in-app broadcasts whose range of users holds the ordinal, by their last arrival at or
        below `floor`, the latest first. Return the items of those sent to the user below the shared sequence
        `before`, newest first."""
        ...

    async def find(
        self, tenant: str, user_id: str, ordinal: int | None, item_ids: Sequence[bytes]
    ) -> dict[bytes, Item]:
        """Return those of the items that the user has, own ones and those of broadcasts, by id."""
        ...

    async def facts(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> ItemFacts:
        """Return what is stored about items of the user."""
        ...

    async def newest_of(
        self, tenant: str, user_id: str, ordinal: int | None, collapse_keys: Collection[str]
    ) -> dict[str, ItemPlace]:
        """Return the place of the user's newest item with each collapse key."""
        ...

    async def requests(self, tenant: str, notification_ids: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the requests of notifications, in MessagePack."""
        ...

    async def mark(self, tenant: str, user_id: str, marks: Sequence[Mark]) -> None:
        """Set the fields of marks that are not None, durably and as one step of the user's own sequence; the first time
        of seeing, reading, archiving and deleting stays until it is undone."""
        ...

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, durably and as one step of the user's own sequence, which becomes its `seq`. Its sequences
        only grow, and its time is that at which they last did."""
        ...

    async def withdraw(self, tenant: str, notification_id: bytes, at_ms: int) -> None:
        """Take the items of a notification or broadcast out of all inboxes, durably and as one step of the tenant's
        shared sequence; also those that arrive later. A repeated call changes nothing."""
        ...
