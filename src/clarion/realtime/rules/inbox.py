"""What a person's inbox shows: own items and broadcasts in one order, each with what the person did to it."""

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


class Done(msgspec.Struct, frozen=True):
    """What a person said of one item: None is nothing, 0 is 'undone'."""

    seen_ms: int | None = None
    read_ms: int | None = None
    archived_ms: int | None = None


_NOTHING: Final = Done()


def newest_first(own: Iterable[Item], broadcasts: Iterable[Item]) -> Iterator[Item]:
    """Yield both, each newest first already, as one order without repeats; lazily, so a reader can stop early."""
    last = None
    for item in merge(own, broadcasts, key=lambda item: item.item_id, reverse=True):
        if item.item_id != last:
            yield item
        last = item.item_id


class Source(NamedTuple):
    """What has been read of one kind of items and not been shown, newest first, and where to read on; nothing is left when
    it is `done`."""

    before: bytes | None
    items: Sequence[Item] = ()
    done: bool = False


class Merged(NamedTuple):
    """Items in one order, and what is left of both sources."""

    items: list[Item]
    own: Source
    shared: Source


def merged(own: Source, shared: Source) -> Merged:
    """Return those items of both sources above which nothing unread can come. There are some unless a source that is not
    done has none."""
    open_ = [source for source in (own, shared) if not source.done]
    if not all(source.items for source in open_):
        return Merged([], own, shared)
    floor = max((source.items[-1].item_id for source in open_), default=b"")
    shown = [[item for item in source.items if item.item_id >= floor] for source in (own, shared)]
    rest = [
        source._replace(items=source.items[len(taken) :]) for source, taken in zip((own, shared), shown, strict=True)
    ]
    return Merged(list(newest_first(*shown)), rest[0], rest[1])


def marked(item: Item, done: Mapping[bytes, Done], read_to: bytes | None, read_at_ms: int) -> Item:
    """Return an item with its marks. Items up to `read_to` count as seen and read at `read_at_ms` where the person said
    nothing else of them; what was read was seen."""
    said = done.get(item.item_id, _NOTHING)
    passed = read_at_ms if read_to is not None and item.item_id <= read_to else None
    read_ms = (passed if said.read_ms is None else said.read_ms) or None
    seen_ms = said.seen_ms or read_ms or passed
    return msgspec.structs.replace(item, seen_ms=seen_ms, read_ms=read_ms, archived_ms=said.archived_ms or None)


def wanted(item: Item, show: str) -> bool:
    """Return whether a list shows an item: `unread` and everything else leave out the archived, `archived` only
    those, `all` both."""
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
