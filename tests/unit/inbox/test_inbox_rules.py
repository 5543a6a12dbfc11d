"""The inbox rules: one order, lazily merged, and the meaning of marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.inbox import Horizon, Item, ItemFacts, ItemPlace, Mark, Position
from clarion.inbox.rules.inbox import (
    ACTIVE,
    ALL,
    ARCHIVED,
    SNOOZED,
    UNREAD,
    UNREAD_SOURCE,
    Entry,
    ItemFilter,
    Source,
    counts,
    edge_of,
    entries_of,
    entry_of,
    is_behind,
    is_shown,
    merged,
)

NUMBERS = st.lists(st.integers(0, 255), unique=True).map(lambda numbers: sorted(numbers, reverse=True))


def item(number: int, own: int = 0, **more) -> Item:
    return Item(bytes([number]) * 24, number, b"{}", ItemPlace(number, own), **more)


def shown(result) -> list[int]:
    return [one.place.shared for one in result.items]


@given(NUMBERS, NUMBERS, st.integers(1, 5), st.integers(1, 5))
def test_both_sources_merge_into_one_order_however_they_are_read(own, broadcasts, own_size, shared_size):
    left = [[item(n, 1) for n in own], [item(n) for n in broadcasts]]
    sources = [UNREAD_SOURCE, UNREAD_SOURCE]
    found: list[ItemPlace] = []
    while edge_of(*sources) is not None:
        for which, size in enumerate((own_size, shared_size)):
            if sources[which].known == edge_of(*sources):
                read, left[which] = left[which][:size], left[which][size:]
                known = read[-1].place if len(read) == size else None
                sources[which] = Source(known, [*sources[which].items, *read])
        items, *sources = merged(*sources)
        found += [one.place for one in items]
    assert found == sorted([ItemPlace(n, 1) for n in own] + [ItemPlace(n, 0) for n in broadcasts], reverse=True)


def test_nothing_is_shown_below_what_may_still_come():
    some = Source(ItemPlace(5, 1), [item(9, 1), item(5, 1)])
    assert shown(merged(some, UNREAD_SOURCE)) == []
    assert shown(merged(some, Source(None))) == [9, 5]
    result = merged(some, Source(ItemPlace(7, 0), [item(8), item(7)]))
    assert shown(result) == [9, 8, 7]
    assert ([*result.own.items], [*result.shared.items]) == ([item(5, 1)], [])
    assert shown(merged(some, Source(ItemPlace(6, 0)))) == [9], "broadcasts down to 6 were examined, and none was found"


def test_items_up_to_the_horizon_are_read_unless_undone_later():
    horizon = Horizon(own=3, shared=5, at_ms=77, seq=10)
    assert entry_of(item(5), None, horizon, 0).read_ms == 77
    assert entry_of(item(6), None, horizon, 0).read_ms is None
    assert entry_of(item(9, 3), None, horizon, 0).read_ms == 77, "an own item counts by its own sequence"
    assert entry_of(item(4, 4), None, horizon, 0).read_ms is None
    later = entry_of(item(5), Mark(b"", seen_ms=3, read_ms=0, read_seq=11), horizon, 0)
    assert (later.seen_ms, later.read_ms) == (3, None)
    assert entry_of(item(5), Mark(b"", read_ms=0, read_seq=9), horizon, 0).read_ms == 77
    assert entry_of(item(6), Mark(b"", read_ms=0, read_seq=9), horizon, 0).read_ms is None


def test_a_read_item_is_seen():
    assert entry_of(item(1), Mark(b"", read_ms=9), None, 0).seen_ms == 9


def test_a_snoozed_item_comes_back_at_its_time():
    mark = Mark(b"", snoozed_ms=50)
    assert entry_of(item(1), mark, None, 49).snoozed_ms == 50
    assert entry_of(item(1), mark, None, 50).snoozed_ms is None


@pytest.mark.parametrize(
    ("gone", "facts", "newest"),
    [
        (item(3), ItemFacts({item(3).item_id: Mark(b"", deleted_ms=1)}, ()), {}),
        (item(3, expires_ms=100), ItemFacts({}, ()), {}),
        (item(3), ItemFacts({}, {b"\x03" * 16}), {}),
        (item(3, collapse_key="k"), ItemFacts({}, ()), {"k": ItemPlace(4, 0)}),
    ],
)
def test_deleted_expired_withdrawn_and_replaced_items_are_not_shown(gone, facts, newest):
    kept = item(2, expires_ms=101, collapse_key="other")
    assert [entry.item for entry in entries_of([gone, kept], facts, newest, None, 100)] == [kept]


def test_lists_apply_their_filters():
    fresh, read, away, later = (
        Entry(item(4)),
        Entry(item(3), read_ms=1),
        Entry(item(2), archived_ms=1),
        Entry(item(1), snoozed_ms=9),
    )
    entries = (fresh, read, away, later)
    assert [is_shown(entry, ItemFilter(ACTIVE)) for entry in entries] == [True, True, False, False]
    assert [is_shown(entry, ItemFilter(UNREAD)) for entry in entries] == [True, False, False, False]
    assert [is_shown(entry, ItemFilter(ARCHIVED)) for entry in entries] == [False, False, True, False]
    assert [is_shown(entry, ItemFilter(SNOOZED)) for entry in entries] == [False, False, False, True]
    assert [is_shown(entry, ItemFilter(ALL)) for entry in entries] == [True, True, True, True]
    seen = Position(b"", own=0, shared=2)
    assert [is_shown(entry, ItemFilter(ALL, since=seen)) for entry in entries] == [True, True, False, False]
    assert [is_shown(entry, ItemFilter(ALL, until=seen)) for entry in entries] == [False, False, True, True]
    news = Entry(item(1, category="news"))
    assert (is_shown(news, ItemFilter(category="news")), is_shown(fresh, ItemFilter(category="news"))) == (True, False)
    assert (is_shown(news, ItemFilter(workflow="w"), "w"), is_shown(news, ItemFilter(workflow="w"))) == (True, False)


def test_counts_are_of_the_list():
    assert counts([Entry(item(3)), Entry(item(2), seen_ms=1), Entry(item(1), 1, 1)]) == (3, 1, 2)


def test_a_position_is_reached_when_each_source_is_behind_its_own_sequence():
    since = Position(b"", own=4, shared=7)
    done = Source(None)
    assert is_behind(since, done, done)
    assert is_behind(since, Source(ItemPlace(2, 5)), Source(ItemPlace(8, 0)))
    assert not is_behind(since, Source(ItemPlace(2, 6)), done), "item 5 may stand below"
    assert not is_behind(since, done, Source(ItemPlace(9, 0))), "8 may come"
    assert not is_behind(since, UNREAD_SOURCE, done)
    assert not is_behind(since, done, Source(None, [item(8)]))
    assert is_behind(since, Source(None, [item(9, 4)]), Source(None, [item(7)]))
