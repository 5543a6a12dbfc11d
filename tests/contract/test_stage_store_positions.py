"""Guarantees of every stage store for consumer groups: positions and open intents."""

import pytest

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import INTENT_ENTRIES_PER_READ_MAX
from clarion.ports.stage_store import (
    Commit,
    GroupProgress,
    IntentEntry,
    IntentWrite,
    Position,
    StageResult,
)
from tests.contract.journals import (
    frame,
    frames,
    held,
)
from tests.look import Look

PORT = "stage store"


class TestCommits:
    async def test_offset_and_numbers_are_kept_per_group_partition_and_topic(self, store):
        lease, other = await held(store), await held(store, partition=1)
        await store.commit(frames(b"1", b"2", b"3"))
        await store.commit(
            StageResult(
                progress=GroupProgress(
                    commits=[Commit(lease, "t", 2, {"one": 7, "two": 9}), Commit(lease, "u", 0), Commit(other, "t", 1)]
                )
            )
        )
        assert await Look(store).committed("g", 0) == {"t": Position(2, {"one": 7, "two": 9}), "u": Position(0)}
        assert await Look(store).committed("g", 1) == {"t": Position(1)}
        assert await Look(store).committed("nobody", 0) == {}

    async def test_a_commit_never_goes_back(self, store):
        lease = await held(store)
        await store.commit(StageResult(progress=GroupProgress(commits=[Commit(lease, "t", 5, {"one": 1})])))
        await store.commit(StageResult(progress=GroupProgress(commits=[Commit(lease, "t", 4, {"one": 2})])))
        assert await Look(store).committed("g", 0) == {"t": Position(5, {"one": 1})}
        await store.commit(StageResult(progress=GroupProgress(commits=[Commit(lease, "t", 5, {"one": 3})])))
        assert await Look(store).committed("g", 0) == {"t": Position(5, {"one": 3})}

    async def test_backlog_counts_events_above_the_commits_of_the_groups_topics(self, store):
        for count in (10, 20, 30):
            await store.commit(
                StageResult(frames=[frame("accepted.normal", 1, count=count), frame("outcomes", 1, count=1)])
            )
        await store.commit(StageResult(frames=[frame("accepted.bulk", 3, count=5)]))
        assert (
            await Look(store).backlog("plan"),
            await Look(store).backlog("record"),
            await Look(store).backlog("g"),
        ) == (65, 3, 0)
        lease = await held(store, "plan", 1)
        await store.commit(StageResult(progress=GroupProgress(commits=[Commit(lease, "accepted.normal", 2)])))
        assert await Look(store).backlog("plan") == 35

    async def test_a_group_without_topics_of_its_own_waits_for_what_it_committed_to(self, store):
        lease = await held(store)
        await store.commit(
            StageResult(
                frames=[frame(count=4), frame(count=6)], progress=GroupProgress(commits=[Commit(lease, "t", 1)])
            )
        )
        assert await Look(store).backlog("g") == 6

    async def test_the_backlogs_of_many_groups_are_asked_in_one_call(self, store):
        lease = await held(store, "plan", 1)
        await store.commit(StageResult(frames=[frame("accepted.normal", 1, count=5), frame("outcomes", 1, count=2)]))
        assert await store.backlog_of(["plan", "record", "none"]) == {"plan": 5, "record": 2, "none": 0}
        await store.commit(StageResult(progress=GroupProgress([Commit(lease, "accepted.normal", 1)])))
        assert await store.backlog_of(["plan"]) == {"plan": 0}


def entries(*numbers: int) -> list[IntentEntry]:
    return [IntentEntry(number, b"%d" % number) for number in numbers]


class TestOpenIntents:
    async def test_they_are_kept_in_order_per_group_and_partition_until_they_are_done(self, store):
        lease, other, next_one = await held(store), await held(store, "h"), await held(store, partition=1)
        await store.commit(
            StageResult(
                progress=GroupProgress(intents=[IntentWrite(lease, entries(2)), IntentWrite(other, entries(5))])
            )
        )
        await store.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(lease, entries(3, 1))])))
        await store.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(next_one, entries(7))])))
        assert await store.open_intents("g", 0) == entries(1, 2, 3)
        assert await store.open_intents("g", 0, 2) == entries(3)
        assert await store.open_intents("h", 0) == entries(5)
        assert await store.open_intents("g", 1) == entries(7)
        await store.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(lease, entries(4), below=3)])))
        assert await store.open_intents("g", 0) == entries(3, 4)
        await store.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(lease, below=5)])))
        assert await store.open_intents("g", 0) == []
        assert await store.open_intents("h", 0) == entries(5)

    async def test_the_same_number_again_replaces_the_first(self, store):
        lease = await held(store)
        await store.commit(
            StageResult(progress=GroupProgress(intents=[IntentWrite(lease, [IntentEntry(1, b"first")])]))
        )
        await store.commit(
            StageResult(progress=GroupProgress(intents=[IntentWrite(lease, [IntentEntry(1, b"again")])]))
        )
        assert await store.open_intents("g", 0) == [IntentEntry(1, b"again")]

    async def test_under_a_stale_fence_nothing_is_added_and_nothing_removed(self, store):
        stale = await held(store)
        await store.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(stale, entries(1))])))
        await held(store)
        with pytest.raises(StaleLease):
            await store.commit(StageResult(progress=GroupProgress(intents=[IntentWrite(stale, entries(2), below=2)])))
        assert await store.open_intents("g", 0) == entries(1)

    async def test_one_read_is_bounded(self, store):
        lease = await held(store)
        number = INTENT_ENTRIES_PER_READ_MAX + 1
        await store.commit(
            StageResult(progress=GroupProgress(intents=[IntentWrite(lease, entries(*range(1, number + 1)))]))
        )
        first = await store.open_intents("g", 0)
        assert len(first) == INTENT_ENTRIES_PER_READ_MAX
        assert await store.open_intents("g", 0, first[-1].number) == entries(number)
