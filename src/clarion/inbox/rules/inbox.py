"""A user's inbox: own items and broadcasts in one order, each with the user's marks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain.ids import notification_of
from clarion.domain.inbox import TOP, Horizon, Item, ItemFacts, ItemPlace, Mark, Position

ACTIVE: Final = "active"
UNREAD: Final = "unread"
ARCHIVED: Final = "archived"
SNOOZED: Final = "snoozed"
ALL: Final = "all"
SHOWS: Final = (ACTIVE, UNREAD, ARCHIVED, SNOOZED, ALL)


class Entry(msgspec.Struct, frozen=True):
    """An item with the user's marks. Times are Unix milliseconds, None for 'not done'; `snoozed_ms` is until when it is
    hidden."""

    item: Item
    seen_ms: int | None = None
    read_ms: int | None = None
    archived_ms: int | None = None
    snoozed_ms: int | None = None


class ItemFilter(msgspec.Struct, frozen=True):
    """What a list holds: `show` is one of `SHOWS`; items that arrived after `since`, up to `until`."""

    show: str = ACTIVE
    category: str | None = None
    workflow: str | None = None
    since: Position | None = None
    until: Position | None = None


class Counts(NamedTuple):
    """Items that are neither archived nor snoozed, how many of them are unseen and how many unread."""

    total: int = 0
    unseen: int = 0
    unread: int = 0


class Source(NamedTuple):
    """Items of one kind that were read and not shown yet, newest first. All that stand at or above `known` were read;
    None: all that there are."""

    known: ItemPlace | None
    items: Sequence[Item] = ()


UNREAD_SOURCE: Final = Source(ItemPlace(*TOP))


class MergedPage(NamedTuple):
    """Items in one order, and the remainder of both sources."""

    items: list[Item]
    own: Source
    shared: Source


def merged(own: Source, shared: Source) -> MergedPage:
    """Return those items of both sources that no unread item can precede."""
    edge = edge_of(own, shared) or ItemPlace(-1, 0)
    shown = [item for source in (own, shared) for item in source.items if item.place >= edge]
    shown.sort(key=lambda item: item.place, reverse=True)
    rest = [source._replace(items=[item for item in source.items if item.place < edge]) for source in (own, shared)]
    return MergedPage(shown, rest[0], rest[1])


def edge_of(own: Source, shared: Source) -> ItemPlace | None:
    """Return the place at and above which all items of both sources were read; None when all were."""
    return max((source.known for source in (own, shared) if source.known is not None), default=None)


def is_behind(since: Position, own: Source, shared: Source) -> bool:
    """Return whether all that is unread or not shown yet of both sources arrived up to a position. Each is held against its
    own sequence: an item that was stored at the same time as a chunk may stand below it, though it became readable after
    it."""
    if own.known is not None and not 0 < own.known.own <= since.own + 1:
        return False
    if shared.known is not None and shared.known.shared > since.shared + 1:
        return False
    return all(since.passed(item.place) for source in (own, shared) for item in source.items)


def entry_of(item: Item, mark: Mark | None, horizon: Horizon | None, now_ms: int) -> Entry:
    """Return an item with its marks. Items up to the horizon count as seen and read at its time unless the user undid
    that later; an item that was read was seen."""
    if mark is None and horizon is None:
        return Entry(item)
    mark = mark or Mark(item.item_id)
    own, shared, at_ms, seq = horizon or Horizon(-1, -1, 0)
    passed = at_ms if Position(b"", own, shared).passed(item.place) else None
    undone = mark.read_ms == 0 and mark.read_seq >= seq
    read_ms = mark.read_ms or (None if undone else passed)
    return Entry(
        item,
        mark.seen_ms or read_ms or passed,
        read_ms,
        mark.archived_ms or None,
        mark.snoozed_ms if mark.snoozed_ms and mark.snoozed_ms > now_ms else None,
    )


def entries_of(
    items: Iterable[Item], facts: ItemFacts, newest: Mapping[str, ItemPlace], horizon: Horizon | None, now_ms: int
) -> list[Entry]:
    """Return the items with their marks, without those that are deleted, expired, withdrawn or replaced: `newest` has the
    place of the newest item with each collapse key."""
    found = []
    for item in items:
        mark = facts.marks.get(item.item_id)
        if mark is not None and mark.deleted_ms:
            continue
        if item.expires_ms is not None and item.expires_ms <= now_ms:
            continue
        if notification_of(item.item_id) in facts.withdrawn or newest.get(item.collapse_key, item.place) > item.place:
            continue
        found.append(entry_of(item, mark, horizon, now_ms))
    return found


def is_shown(entry: Entry, only: ItemFilter, workflow: str = "") -> bool:
    """Return whether a list holds an item, which a workflow sent. `archived` and `snoozed` lists have only those, `all`
    has all kinds; every other list leaves both out."""
    place = entry.item.place
    if only.category is not None and entry.item.category != only.category:
        return False
    if only.workflow is not None and workflow != only.workflow:
        return False
    if (only.since is not None and only.since.passed(place)) or (
        only.until is not None and not only.until.passed(place)
    ):
        return False
    if only.show == ALL:
        return True
    if only.show == SNOOZED:
        return entry.snoozed_ms is not None
    if only.show == ARCHIVED:
        return entry.archived_ms is not None
    is_active = entry.archived_ms is None and entry.snoozed_ms is None
    return is_active and (only.show != UNREAD or entry.read_ms is None)


def counts(entries: Iterable[Entry]) -> Counts:
    """Return the counts of items of the list `active`."""
    total = unseen = unread = 0
    for entry in entries:
        total += 1
        unseen += entry.seen_ms is None
        unread += entry.read_ms is None
    return Counts(total, unseen, unread)
