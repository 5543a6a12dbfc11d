"""Deciding from versioned values and swapping them: a caller whose version is stale decides again, a bounded number of times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import Overloaded
from clarion.ports.versioned import Change, Versioned
from clarion.runtime.shared_counts import SWAP_TRIES_MAX, settle, settle_each
from clarion.stores.memory.versions import MemoryVersions
from tests.contract.swaps import Clockwork


class Contested(MemoryVersions):
    """A store in which another writer changes some names first, a given number of times."""

    def __init__(self, first):
        super().__init__(int)
        self.first = dict(first)
        self.reads = self.swaps = 0

    async def read(self, names):
        self.reads += 1
        return await super().read(names)

    async def swap(self, groups):
        self.swaps += 1
        for name in {change.name for group in groups for change in group}:
            if self.first.get(name, 0):
                self.first[name] -= 1
                ((value, version),) = await super().read([name])
                await super().swap([[Change(name, version, value + 100)]])
        return await super().swap(groups)


def more(_index, values):
    return [value + 1 for value in values], sum(values)


async def test_a_stale_caller_decides_again_from_the_result_of_the_swap():
    store = Contested({"a": 3})
    now, answer = await settle(store, ["a", "b"], lambda values: more(0, values), Clockwork())
    assert [one.value for one in now] == [301, 1]
    assert answer == 300
    assert (store.reads, store.swaps) == (1, 4)


async def test_only_those_who_were_late_try_again():
    store = Contested({"b": 2})
    done = await settle_each(store, [["a"], ["b"], ["c"]], more, Clockwork())
    assert [one.now[0].value for one in done] == [1, 201, 1]
    assert store.swaps == 3


async def test_what_is_known_is_not_read_and_one_that_is_not_is():
    store = Contested({})
    (one,), _ = await settle(store, ["a"], lambda values: more(0, values), Clockwork())
    before = store.reads
    (one,), _ = await settle(store, ["a"], lambda values: more(0, values), Clockwork(), [one])
    assert (one.value, store.reads) == (2, before)
    (old,), _ = await settle(store, ["a"], lambda values: more(0, values), Clockwork(), [Versioned(0, 0)])
    assert (old.value, store.reads) == (3, before), "the known version was stale, and the swap returned the present one"
    done = await settle_each(store, [["a"], ["b"]], more, Clockwork(), [[old], None])
    assert [one.now[0].value for one in done] == [4, 1]
    assert store.reads == before + 1


async def test_a_caller_that_is_stale_each_time_is_overloaded():
    store = Contested({"a": 1_000})
    with pytest.raises(Overloaded, match=f"changed the same values {SWAP_TRIES_MAX} times"):
        await settle(store, ["a"], lambda values: more(0, values), Clockwork())
    assert store.swaps == SWAP_TRIES_MAX
    late, done = await settle_each(store, [["a"], ["b"]], more, Clockwork())
    assert late is None
    assert done.now[0].value == 1


async def test_later_tries_come_after_a_pause(monkeypatch):
    pauses = []

    async def pause(seconds):
        pauses.append(seconds)

    monkeypatch.setattr("clarion.runtime.shared_counts.asyncio.sleep", pause)
    store = Contested({"a": 6})
    await settle(store, ["a"], lambda values: more(0, values), Clockwork(0.5))
    assert len(pauses) == 5
    assert pauses == sorted(pauses)
    assert 0 < pauses[-1] < 0.01


@given(
    st.lists(st.lists(st.sampled_from("abcd"), unique=True, min_size=1, max_size=3), max_size=20),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)),
)
async def test_no_count_is_lost_in_any_order(groups, first):
    store = Contested(first)
    for names in groups:
        await settle(store, names, lambda values: more(0, values), Clockwork())
    for name in "abcd":
        ((value, _),) = await store.read([name])
        others = first.get(name, 0) - store.first.get(name, 0)
        assert value == 100 * others + sum(name in names for names in groups)
