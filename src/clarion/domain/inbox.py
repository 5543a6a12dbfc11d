"""The inbox of one user as values: items, where they stand, the user's marks, and positions.

Items arrive in two sequences: the user's own, counted in a row per user, and the tenant's shared one, counted in a row per
tenant, in which each recorded chunk of a broadcast is one step. Every change of a user's marks is a step of the own
sequence, too, and every withdrawal one of the shared sequence; so a pair of numbers says what a client has seen.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from clarion.domain.delivery_state import State

SHOWN: Final = frozenset({State.SENT, State.DELIVERED})
"""States of a broadcast's deliveries that are in the inbox."""
COLLAPSE_KEY: Final = "collapse_key"
"""The part of in-app content by which an item replaces older ones."""
TOP: Final = (1 << 62, 0)
"""A place above all items."""

_BUCKETS: Final = (1 << 24) - 1
_JSON: Final = msgspec.json.Encoder()


class ItemPlace(NamedTuple):
    """Where an item stands: places grow in the order of arrival. An item of a broadcast has its shared sequence and 0;
    an own item has the shared sequence at which it arrived, and its own one."""

    shared: int
    own: int


class Position(NamedTuple):
    """What a client has seen: everything up to both sequences of an epoch. An epoch is the life of one state store."""

    epoch: bytes
    own: int
    shared: int

    def precedes(self, other: "Position") -> bool:
        """Return whether this is a position that an inbox has had which is at another one now: of the same epoch, and not
        ahead of it."""
        return self.epoch == other.epoch and self.own <= other.own and self.shared <= other.shared

    def passed(self, place: ItemPlace) -> bool:
        """Return whether an item at a place is up to this position."""
        return place.own <= self.own if place.own else place.shared <= self.shared


class Item(msgspec.Struct, frozen=True):
    """A message to one user without its marks; `content` is JSON. Its id is its delivery id. `expires_ms` is when it
    leaves the inbox by itself."""

    item_id: bytes
    created_ms: int
    content: bytes
    place: ItemPlace
    category: str = ""
    expires_ms: int | None = None
    collapse_key: str = ""


class Mark(msgspec.Struct, frozen=True):
    """A user's marks on an item, as Unix milliseconds. None: never set, so the horizon applies; 0: undone.
    `snoozed_ms` is until when the item is hidden. `read_seq` is the own sequence at which `read_ms` was last set."""

    item_id: bytes
    seen_ms: int | None = None
    read_ms: int | None = None
    archived_ms: int | None = None
    snoozed_ms: int | None = None
    deleted_ms: int | None = None
    read_seq: int = 0


class Horizon(NamedTuple):
    """Items up to both sequences count as seen and read at `at_ms`. It was set at the own sequence `seq`: marks that
    undo a reading and are older do not count."""

    own: int
    shared: int
    at_ms: int
    seq: int = 0


class ItemFacts(msgspec.Struct, frozen=True):
    """What is stored about some items of a user: marks by item id, and the notifications that were withdrawn."""

    marks: dict[bytes, Mark]
    withdrawn: Collection[bytes]


class ChangedInboxes(NamedTuple):
    """Inboxes that may have changed: those of users in these buckets (`user_bucket`) and of all users of tenants in these
    (`tenant_bucket`), or all inboxes."""

    users: frozenset[int] = frozenset()
    tenants: frozenset[int] = frozenset()
    all: bool = False

    def __or__(self, other: "ChangedInboxes") -> "ChangedInboxes":
        return ChangedInboxes(self.users | other.users, self.tenants | other.tenants, self.all or other.all)


ALL_INBOXES: Final = ChangedInboxes(all=True)


def user_bucket(tenant: str, user_id: str) -> int:
    """Return the bucket of a user: with few users in each, signals name users in little space."""
    return crc32(f"{len(tenant)}:{tenant}{user_id}".encode()) & _BUCKETS


def tenant_bucket(tenant: str) -> int:
    """Return the bucket of a tenant."""
    return crc32(tenant.encode()) & _BUCKETS


def broadcast_item(
    item_id: bytes, created_ms: int, content: dict[str, Any], seq: int, category: str, expires_ms: int | None
) -> Item:
    """Return a broadcast's item for one user."""
    key = content.get(COLLAPSE_KEY)
    return Item(
        item_id,
        created_ms,
        _JSON.encode(content),
        ItemPlace(seq, 0),
        category,
        expires_ms,
        key if isinstance(key, str) else "",
    )


def arrival_of(index: int, first: tuple[int, int], later: Sequence[tuple[int, int, bytes]]) -> tuple[int, int]:
    """Return the sequence and time at which a delivery of a chunk arrived: `first` is when the chunk was recorded;
    `later` holds further arrivals, each with a byte per delivery that is not 0 for those that arrived with it."""
    return max([first, *((seq, at_ms or first[1]) for seq, at_ms, members in later if members[index])])
