"""The inbox of one user: recorded items, broadcasts that contain the user, and the user's own marks."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from clarion.domain.history import InboxItem


class Mark(msgspec.Struct, frozen=True):
    """A user's marks on an item, as Unix milliseconds. None: never set, so the horizon applies; 0: undone."""

    item_id: bytes
    seen_ms: int | None = None
    read_ms: int | None = None
    archived_ms: int | None = None


class Horizon(msgspec.Struct, frozen=True):
    """Items up to and including `item_id` count as read at `at_ms`, unless a mark overrides it."""

    item_id: bytes
    at_ms: int


class Broadcast(msgspec.Struct, frozen=True):
    """A broadcast's in-app delivery to one user: `content` is final."""

    item_id: bytes
    created_ms: int
    content: dict[str, Any]


class Inbox(Protocol):
    """Read side of the inbox and the only writer of marks."""

    async def items(self, tenant: str, user_id: str, before: bytes | None, limit: int) -> list[InboxItem]:
        """Return the user's own items with ids below `before`, newest first."""
        ...

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: bytes | None, limit: int
    ) -> tuple[list[Broadcast], bytes | None]:
        """Return sent in-app broadcasts that contain the user, newest first, out of the next `limit` broadcasts whose
        range contains the ordinal; and the id of the last one read when there are more."""
        ...

    async def item(self, tenant: str, user_id: str, ordinal: int | None, item_id: bytes) -> bool:
        """Return whether the user has that item, own or broadcast."""
        ...

    async def marks(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> dict[bytes, Mark]:
        """Return the user's marks on those items."""
        ...

    async def horizon(self, tenant: str, user_id: str) -> Horizon | None:
        """Return the horizon of the user, None when none is set."""
        ...

    async def mark(self, tenant: str, user_id: str, mark: Mark) -> None:
        """Set the fields of a mark that are not None, durably; the first time of seen or read stays."""
        ...

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up, durably; marks of items below it that undo a reading are dropped."""
        ...
