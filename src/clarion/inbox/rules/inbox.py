"""A user's inbox: own items and broadcasts in one order, each with the user's marks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Final, NamedTuple

import msgspec

UNREAD: Final = "unread"
ARCHIVED: Final = "archived"
ALL: Final = "all"


class Item(msgspec.Struct, frozen=True):
    """One message; `content` is JSON. Times are Unix milliseconds, None for 'not done'. Ids grow with time."""

    item_id: bytes
    created_ms: int
    content: bytes
    seen_ms: int | None = None
    read_ms: int | None = None
    archived_ms: int | None = None


class Marks(msgspec.Struct, frozen=True):
    """A user's marks of one item: None is no mark, 0 is an undone one."""

    seen_ms: int | None = None
    read_ms: int | None = None
    archived_ms: int | None = None


_NOTHING: Final = Marks()


def newest_first(own: Iterable[Item], broadcasts: Iterable[Item]) -> Iterator[Item]:
    """Yield both, each newest first already, as one order without repeats; lazily, so a reader can stop early."""
    last = None
    for item in merge(own, broadcasts, key=lambda item: item.item_id, reverse=True):
        if item.item_id != last:
            yield item
        last = item.item_id


class Source(NamedTuple):
    """Items of one kind that were read and not shown yet, newest first, and where the next read begins; nothing is left
    to read when it is `done`."""

    before: bytes | None
    items: Sequence[Item] = ()
    done: bool = False


class MergedPage(NamedTuple):
    """Items in one order, and the remainder of both sources."""

    items: list[Item]
    own: Source
    shared: Source


def merged(own: Source, shared: Source) -> MergedPage:
    """Return those items of both sources that no unread item can precede. There are some unless a source that is not
    done has none."""
    open_ = [source for source in (own, shared) if not source.done]
    if not all(source.items for source in open_):
        return MergedPage([], own, shared)
    floor = max((source.items[-1].item_id for source in open_), default=b"")
    shown = [[item for item in source.items if item.item_id >= floor] for source in (own, shared)]
    rest = [
        source._replace(items=source.items[len(taken) :]) for source, taken in zip((own, shared), shown, strict=True)
    ]
    return MergedPage(list(newest_first(*shown)), rest[0], rest[1])


def marked(item: Item, done: Mapping[bytes, Marks], read_to: bytes | None, read_at_ms: int) -> Item:
    """Return an item with its marks. Items up to `read_to` count as seen and read at `read_at_ms` unless the user
    marked them otherwise; an item that was read was seen."""
    text = done.get(item.item_id, _NOTHING)
    passed = read_at_ms if read_to is not None and item.item_id <= read_to else None
    read_ms = (passed if text.read_ms is None else text.read_ms) or None
    seen_ms = text.seen_ms or read_ms or passed
    return msgspec.structs.replace(item, seen_ms=seen_ms, read_ms=read_ms, archived_ms=text.archived_ms or None)


def is_shown(item: Item, show: str) -> bool:
    """Return whether a list shows an item: `archived` has only archived items, `all` has both kinds, every other list
    leaves archived items out."""
    if show == ALL:
        return True
    if show == ARCHIVED:
        return item.archived_ms is not None
    return item.archived_ms is None and (show != UNREAD or item.read_ms is None)


def counts(items: Iterable[Item]) -> tuple[int, int, int]:
    """Return how many items that are not archived there are, how many of them are unseen and how many unread."""
    total = unseen = unread = 0
    for item in items:
        if item.archived_ms is None:
            total += 1
            unseen += item.seen_ms is None
            unread += item.read_ms is None
    return total, unseen, unread
