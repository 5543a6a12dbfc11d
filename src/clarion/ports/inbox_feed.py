"""What a gateway follows: which inboxes may have changed, and what lies after the positions of many users.

A signal is a hint and may be lost; the store is the source of truth. A gateway keeps the position of each open connection,
listens, and asks for what lies after the positions of those whose inboxes may have changed.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from clarion.domain.inbox import ChangedInboxes, Horizon, Item, ItemPlace, Mark, Position


class InboxSignal(Protocol):
    """Changes of inboxes by any process of the installation, this one included."""

    def listen(self, heard: Callable[[ChangedInboxes], None]) -> None:
        """Call `heard` on the running loop from now on, for many changes at once where they come fast. At the latest every
        `INBOX_CHECK_MS` it is called for all inboxes, as a signal may have been lost."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...


class Wanted(NamedTuple):
    """A user with the position that a client has seen, and the one up to which it is asked for, which was read before.
    `ordinal` is None for a user who is not stored, and needed only where the shared sequence has moved."""

    tenant: str
    user_id: str
    ordinal: int | None
    position: Position
    now: Position

    def covers(self, place: ItemPlace) -> bool:
        """Return whether an item arrived between the two positions: what arrives meanwhile belongs to the next read."""
        return not self.position.passed(place) and self.now.passed(place)


class Missed(NamedTuple):
    """What changed in one inbox up to `position`. With `reload` the given position is of another epoch, ahead of the
    store's, or too far behind, and the rest is empty.

    `items` arrived, in that order, those of withdrawn notifications left out: `dropped` are the collapse keys of these, as they
    have replaced older items all the same. `marks` are the marks of items, old and new
    ones, that the user changed. `horizon` is set when it moved. `withdrawn` are notifications of the tenant, of which the
    user may have no item.
    """

    position: Position
    reload: bool = False
    items: Sequence[Item] = ()
    marks: Sequence[Mark] = ()
    horizon: Horizon | None = None
    withdrawn: Sequence[bytes] = ()
    dropped: Sequence[str] = ()

    def is_empty(self) -> bool:
        """Return whether nothing changed."""
        return not (self.reload or self.items or self.marks or self.horizon or self.withdrawn or self.dropped)


class InboxFeed(Protocol):
    """Reads what many users have missed, in a bounded number of calls to the store."""

    async def positions(self, users: Sequence[tuple[str, str]]) -> list[Position]:
        """Return where the inboxes of users (tenant, user id) are: whatever is read afterwards holds everything up to there."""
        ...

    async def missed(self, wanted: Sequence[Wanted]) -> list[Missed]:
        """Return for each user what changed between the two positions: at most `INBOX_MISSED_MAX` items, marks, broadcasts and
        withdrawals each, else `reload`. Following calls with the returned positions neither miss nor repeat anything."""
        ...
