"""The inbox rules: one order, lazily merged, and the meaning of marks."""

from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from clarion.inbox.rules.inbox import (
    ALL,
    ARCHIVED,
    UNREAD,
    Item,
    Marks,
    Source,
    counts,
    is_shown,
    marked,
    merged,
    newest_first,
)

IDS = st.lists(st.integers(0, 255), unique=True).map(lambda numbers: sorted(numbers, reverse=True))


def item(number: int, **marks: int) -> Item:
    return Item(bytes([number]) * 24, number, b"{}", **marks)


@given(IDS, IDS)
def test_both_sources_merge_into_one_order_without_repeats(own, broadcasts):
    seen_ids = [entry.created_ms for entry in newest_first(map(item, own), map(item, broadcasts))]
    assert seen_ids == sorted(set(own) | set(broadcasts), reverse=True)


@given(IDS, IDS, st.integers(1, 5), st.integers(1, 5))
def test_reading_piece_by_piece_shows_the_same(own, broadcasts, own_size, shared_size):
    left = [list(map(item, own)), list(map(item, broadcasts))]
    sources = [Source(None), Source(None)]
    shown: list[int] = []
    while True:
        for place, size in enumerate((own_size, shared_size)):
            if not sources[place].items and not sources[place].done:
                read, left[place] = left[place][:size], left[place][size:]
                sources[place] = Source(None, read, len(read) < size)
        items, *sources = merged(*sources)
        if not items:
            break
        shown += [entry.created_ms for entry in items]
    assert shown == sorted(set(own) | set(broadcasts), reverse=True)


def test_nothing_is_shown_above_an_item_that_may_still_arrive():
    some = Source(None, [item(9), item(5)])
    assert merged(some, Source(None)).items == []
    assert [entry.created_ms for entry in merged(some, Source(None, done=True)).items] == [9, 5]
    shown, own, shared = merged(some, Source(None, [item(8), item(7)]))
    assert [entry.created_ms for entry in shown] == [9, 8, 7]
    assert ([*own.items], [*shared.items]) == ([item(5)], [])


def test_merging_stops_early():
    endless = (item(200) if number == 0 else item(max(0, 199 - number)) for number in count())
    assert [entry.created_ms for entry in islice(newest_first(endless, iter([item(199)])), 2)] == [200, 199]


def test_items_up_to_the_horizon_are_read_unless_undone():
    horizon = bytes([5]) * 24
    assert marked(item(5), {}, horizon, 77).read_ms == 77
    assert marked(item(6), {}, horizon, 77).read_ms is None
    undone = marked(item(5), {bytes([5]) * 24: Marks(seen_ms=3, read_ms=0)}, horizon, 77)
    assert (undone.seen_ms, undone.read_ms) == (3, None)


def test_a_read_item_is_seen():
    assert marked(item(1), {bytes([1]) * 24: Marks(read_ms=9)}, None, 0).seen_ms == 9


def test_lists_apply_their_filters():
    fresh, read, away = item(3), item(2, read_ms=1), item(1, archived_ms=1)
    assert [is_shown(i, "active") for i in (fresh, read, away)] == [True, True, False]
    assert [is_shown(i, UNREAD) for i in (fresh, read, away)] == [True, False, False]
    assert [is_shown(i, ARCHIVED) for i in (fresh, read, away)] == [False, False, True]
    assert [is_shown(i, ALL) for i in (fresh, read, away)] == [True, True, True]


def test_counts_leave_out_the_archived():
    items = [item(4), item(3, seen_ms=1), item(2, seen_ms=1, read_ms=1), item(1, archived_ms=1)]
    assert counts(items) == (3, 1, 2)
