"""The inbox rules: one order, lazily merged, and marks that say what they mean."""

from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from clarion.realtime.rules.inbox import ALL, ARCHIVED, UNREAD, Done, Item, counts, marked, newest_first, wanted

IDS = st.lists(st.integers(0, 255), unique=True).map(lambda numbers: sorted(numbers, reverse=True))


def item(number: int, **marks: int) -> Item:
    return Item(bytes([number]) * 24, number, b"{}", **marks)


@given(IDS, IDS)
def test_both_sources_come_out_as_one_order_without_repeats(own, broadcasts):
    merged = [entry.created_ms for entry in newest_first(map(item, own), map(item, broadcasts))]
    assert merged == sorted(set(own) | set(broadcasts), reverse=True)


def test_merging_stops_early():
    endless = (item(200) if number == 0 else item(max(0, 199 - number)) for number in count())
    assert [entry.created_ms for entry in islice(newest_first(endless, iter([item(199)])), 2)] == [200, 199]


def test_items_up_to_the_horizon_are_read_unless_undone():
    horizon = bytes([5]) * 24
    assert marked(item(5), {}, horizon, 77).read_ms == 77
    assert marked(item(6), {}, horizon, 77).read_ms is None
    undone = marked(item(5), {bytes([5]) * 24: Done(seen_ms=3, read_ms=0)}, horizon, 77)
    assert (undone.seen_ms, undone.read_ms) == (3, None)


def test_what_was_read_was_seen():
    assert marked(item(1), {bytes([1]) * 24: Done(read_ms=9)}, None, 0).seen_ms == 9


def test_lists_show_what_they_are_asked_for():
    fresh, read, away = item(3), item(2, read_ms=1), item(1, archived_ms=1)
    assert [wanted(i, "active") for i in (fresh, read, away)] == [True, True, False]
    assert [wanted(i, UNREAD) for i in (fresh, read, away)] == [True, False, False]
    assert [wanted(i, ARCHIVED) for i in (fresh, read, away)] == [False, False, True]
    assert [wanted(i, ALL) for i in (fresh, read, away)] == [True, True, True]


def test_counts_leave_out_the_archived():
    items = [item(4), item(3, seen_ms=1), item(2, seen_ms=1, read_ms=1), item(1, archived_ms=1)]
    assert counts(items) == (3, 1, 2)
