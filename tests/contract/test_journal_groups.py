"""What every journal backend promises to consumer groups: leases, commits and retention."""

import asyncio

import pytest

from clarion.domain.errors import StaleLease
from clarion.domain.limits import INTENT_ENTRIES_PER_READ_MAX, LEASE_TTL_MS_MAX
from clarion.domain.limits_deciding import HOLD_MS_MAX
from clarion.ports.stage_store import (
    Admission,
    Broadcasts,
    Cancellation,
    Commit,
    CursorMove,
    IdempotencyEntry,
    IntentEntry,
    IntentWrite,
    Lease,
    Position,
    Progress,
    StageResult,
)
from tests.contract.journals import (
    PARTITIONS,
    START_MS,
    TTL_MS,
    cursor,
    frame,
    frames,
    held,
    offsets,
    payloads,
    timer,
)
from tests.look import Look

PORT = "journal"


class TestLeases:
    async def test_one_owner_at_a_time(self, journal):
        assert await journal.acquire("g", 0, "one", TTL_MS) == Lease("g", 0, "one", 1)
        assert await journal.acquire("g", 0, "two", TTL_MS) is None
        assert await journal.acquire("g", 1, "two", TTL_MS) == Lease("g", 1, "two", 1)
        assert await journal.acquire("other", 0, "two", TTL_MS) == Lease("other", 0, "two", 1)

    async def test_the_owner_gets_its_lease_again_with_a_new_fence(self, journal):
        first, second = await held(journal), await held(journal)
        assert (first.fence, second.fence) == (1, 2)
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(frames=[frame()], lease=first))
        assert await journal.commit(StageResult(frames=[frame()], lease=second)) == [1]

    async def test_takeover_after_expiry_grows_the_fence_and_shuts_out_the_zombie(self, journal, clock):
        zombie = await held(journal, owner="slow")
        clock.machine_ms += TTL_MS
        heir = await held(journal, owner="quick")
        assert heir.fence == zombie.fence + 1
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(frames=[frame()], lease=zombie))
        assert await journal.renew([zombie, heir], TTL_MS) == [heir]

    async def test_an_expired_lease_is_stale_even_before_anyone_took_it(self, journal, clock):
        lease = await held(journal)
        clock.machine_ms += TTL_MS - 1
        await journal.commit(StageResult(frames=[frame()], lease=lease))
        clock.machine_ms += 1
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(frames=[frame()], lease=lease))
        assert await journal.renew([lease], TTL_MS) == []

    async def test_steps_of_the_wall_clock_touch_no_lease(self, journal, clock):
        lease = await held(journal)
        clock.wall_ms += 10 * TTL_MS
        assert await journal.acquire("g", 0, "two", TTL_MS) is None
        clock.wall_ms -= 20 * TTL_MS
        assert await journal.commit(StageResult(frames=[frame()], lease=lease)) == [1]

    async def test_renewing_extends(self, journal, clock):
        lease = await held(journal)
        for _ in range(5):
            clock.machine_ms += TTL_MS - 1
            assert await journal.renew([lease], TTL_MS) == [lease]
        assert await journal.acquire("g", 0, "two", TTL_MS) is None

    async def test_released_leases_are_free_at_once_and_their_fence_still_grows(self, journal):
        lease = await held(journal, owner="one")
        await journal.release([lease])
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(frames=[frame()], lease=lease))
        heir = await held(journal, owner="two")
        assert heir.fence == lease.fence + 1
        await journal.release([lease])  # a late release of a lost lease frees nothing
        assert await journal.acquire("g", 0, "one", TTL_MS) is None

    async def test_what_dead_owners_held_is_free_at_once_and_they_are_shut_out(self, journal):
        dead = [await held(journal, owner="w-1"), await held(journal, partition=1, owner="w-1")]
        other = await held(journal, partition=2, owner="w-2")
        await journal.release(dead[1:])
        assert await journal.vacate(["w-1", "w-0"]) == 1
        assert await journal.vacate(["w-1"]) == 0
        heir = await held(journal, owner="w-3")
        assert heir.fence == dead[0].fence + 1
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(frames=[frame()], lease=dead[0]))
        assert await journal.renew([dead[0], other, heir], TTL_MS) == [other, heir]

    @pytest.mark.parametrize("ttl_ms", [0, -1, LEASE_TTL_MS_MAX + 1])
    async def test_a_lease_runs_for_a_bounded_time(self, journal, ttl_ms):
        with pytest.raises(ValueError, match="a lease runs"):
            await journal.acquire("g", 0, "me", ttl_ms)

    async def test_a_stale_fence_stores_nothing_of_its_append_and_spares_its_neighbours(self, journal):
        stale, lease = await held(journal), await held(journal)
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        refused = StageResult(
            frames=[frame(payload=b"refused")],
            timers=[timer(b"1", START_MS)],
            progress=Progress(commits=[Commit(lease, "t", 5), Commit(stale, "u", 5)]),
            admission=Admission(
                idempotency=[IdempotencyEntry("acme", "key", b"hash", b"answer", START_MS + 1)],
                cancellations=[Cancellation("acme", b"n", START_MS)],
            ),
            broadcasts=Broadcasts(cursors=[cursor(b"d")], moves=[CursorMove(lease, b"c", 0, 1, 1, 1, 1, done=False)]),
        )
        before, result, after = await asyncio.gather(
            journal.commit(frames(b"before")),
            journal.commit(refused),
            journal.commit(frames(b"after")),
            return_exceptions=True,
        )
        assert (before, after) == ([1], [2])
        assert isinstance(result, StaleLease)
        assert await payloads(journal) == [b"before", b"after"]
        assert await Look(journal).committed("g", 0) == {}
        assert await Look(journal).next_due_ms() is None
        assert await Look(journal).idempotency("acme", "key", START_MS) is None
        assert await Look(journal).cancelled_since(0) == (0, [])
        assert await Look(journal).cursors() == [cursor()]


class TestCommits:
    async def test_offset_and_numbers_are_kept_per_group_partition_and_topic(self, journal):
        lease, other = await held(journal), await held(journal, partition=1)
        await journal.commit(frames(b"1", b"2", b"3"))
        await journal.commit(
            StageResult(
                progress=Progress(
                    commits=[Commit(lease, "t", 2, {"one": 7, "two": 9}), Commit(lease, "u", 0), Commit(other, "t", 1)]
                )
            )
        )
        assert await Look(journal).committed("g", 0) == {"t": Position(2, {"one": 7, "two": 9}), "u": Position(0)}
        assert await Look(journal).committed("g", 1) == {"t": Position(1)}
        assert await Look(journal).committed("nobody", 0) == {}

    async def test_a_commit_never_goes_back(self, journal):
        lease = await held(journal)
        await journal.commit(StageResult(progress=Progress(commits=[Commit(lease, "t", 5, {"one": 1})])))
        await journal.commit(StageResult(progress=Progress(commits=[Commit(lease, "t", 4, {"one": 2})])))
        assert await Look(journal).committed("g", 0) == {"t": Position(5, {"one": 1})}
        await journal.commit(StageResult(progress=Progress(commits=[Commit(lease, "t", 5, {"one": 3})])))
        assert await Look(journal).committed("g", 0) == {"t": Position(5, {"one": 3})}

    async def test_backlog_counts_events_above_the_commits_of_the_groups_topics(self, journal):
        for count in (10, 20, 30):
            await journal.commit(
                StageResult(frames=[frame("accepted.normal", 1, count=count), frame("outcomes", 1, count=1)])
            )
        await journal.commit(StageResult(frames=[frame("accepted.bulk", 3, count=5)]))
        assert (
            await Look(journal).backlog("plan"),
            await Look(journal).backlog("record"),
            await Look(journal).backlog("g"),
        ) == (65, 3, 0)
        lease = await held(journal, "plan", 1)
        await journal.commit(StageResult(progress=Progress(commits=[Commit(lease, "accepted.normal", 2)])))
        assert await Look(journal).backlog("plan") == 35

    async def test_a_group_without_topics_of_its_own_waits_for_what_it_committed_to(self, journal):
        lease = await held(journal)
        await journal.commit(
            StageResult(frames=[frame(count=4), frame(count=6)], progress=Progress(commits=[Commit(lease, "t", 1)]))
        )
        assert await Look(journal).backlog("g") == 6


def entries(*numbers: int) -> list[IntentEntry]:
    return [IntentEntry(number, b"%d" % number) for number in numbers]


class TestOpenIntents:
    async def test_they_are_kept_in_order_per_group_and_partition_until_they_are_done(self, journal):
        lease, other, next_one = await held(journal), await held(journal, "h"), await held(journal, partition=1)
        await journal.commit(
            StageResult(progress=Progress(intents=[IntentWrite(lease, entries(2)), IntentWrite(other, entries(5))]))
        )
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(lease, entries(3, 1))])))
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(next_one, entries(7))])))
        assert await journal.open_intents("g", 0) == entries(1, 2, 3)
        assert await journal.open_intents("g", 0, 2) == entries(3)
        assert await journal.open_intents("h", 0) == entries(5)
        assert await journal.open_intents("g", 1) == entries(7)
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(lease, entries(4), below=3)])))
        assert await journal.open_intents("g", 0) == entries(3, 4)
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(lease, below=5)])))
        assert await journal.open_intents("g", 0) == []
        assert await journal.open_intents("h", 0) == entries(5)

    async def test_the_same_number_again_replaces_the_first(self, journal):
        lease = await held(journal)
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(lease, [IntentEntry(1, b"first")])])))
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(lease, [IntentEntry(1, b"again")])])))
        assert await journal.open_intents("g", 0) == [IntentEntry(1, b"again")]

    async def test_under_a_stale_fence_nothing_is_added_and_nothing_removed(self, journal):
        stale = await held(journal)
        await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(stale, entries(1))])))
        await held(journal)
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(progress=Progress(intents=[IntentWrite(stale, entries(2), below=2)])))
        assert await journal.open_intents("g", 0) == entries(1)

    async def test_one_read_is_bounded(self, journal):
        lease = await held(journal)
        number = INTENT_ENTRIES_PER_READ_MAX + 1
        await journal.commit(
            StageResult(progress=Progress(intents=[IntentWrite(lease, entries(*range(1, number + 1)))]))
        )
        first = await journal.open_intents("g", 0)
        assert len(first) == INTENT_ENTRIES_PER_READ_MAX
        assert await journal.open_intents("g", 0, first[-1].number) == entries(number)


class TestTrim:
    async def test_only_what_is_old_and_committed_by_every_group_goes(self, journal, clock):
        fast, slow = await held(journal, "fast"), await held(journal, "slow")
        for n in range(6):
            await journal.commit(frames(b"%d" % n))
            clock.pass_ms(10)
        await journal.commit(frames(b"nobody reads this", topic="u"))
        await journal.commit(StageResult(progress=Progress(commits=[Commit(fast, "t", 6), Commit(slow, "t", 2)])))
        assert await journal.trim(clock.now_ms() + 1) == 2
        assert await payloads(journal) == [b"2", b"3", b"4", b"5"]
        await journal.commit(StageResult(progress=Progress(commits=[Commit(slow, "t", 6)])))
        assert await journal.trim(START_MS + 40) == 2
        assert await payloads(journal) == [b"4", b"5"]
        assert [stored.offset for stored in await Look(journal).since("t", 0, 0)] == [5, 6]
        assert await payloads(journal, "u") == [b"nobody reads this"]

    async def test_offsets_go_on_where_they_were_when_all_is_gone(self, journal, clock):
        lease = await held(journal)
        await journal.commit(
            StageResult(frames=[frame(count=5)] * 3, progress=Progress(commits=[Commit(lease, "t", 3)]))
        )
        assert await journal.trim(clock.now_ms() + 1) == 3
        assert (
            await Look(journal).head("t", 0),
            await Look(journal).read("t", 0, 0),
            await Look(journal).backlog("g"),
        ) == (3, [], 0)
        assert await journal.commit(StageResult(frames=[frame(count=7)])) == [4]
        assert (await offsets(journal), await Look(journal).backlog("g")) == ([4], 7)
        assert await journal.trim(0) == 0

    async def test_many_frames_of_many_streams_go_in_one_call(self, journal, clock):
        leases = [await held(journal, partition=p) for p in range(PARTITIONS)]
        for lease in leases:
            batch = [frame(partition=lease.partition) for _ in range(150)]
            await journal.commit(StageResult(frames=batch, progress=Progress(commits=[Commit(lease, "t", 149)])))
        assert await journal.trim(clock.now_ms() + 1) == PARTITIONS * 149
        assert [await offsets(journal, partition=p) for p in range(PARTITIONS)] == [[150]] * PARTITIONS

    async def test_expired_keys_and_old_cancellations_go_too(self, journal, clock):
        entries = [IdempotencyEntry("acme", str(n), b"", b"", START_MS + n) for n in range(4)]
        cancelled = [Cancellation("acme", b"%d" % n, START_MS + n) for n in range(4)]
        await journal.commit(StageResult(admission=Admission(idempotency=entries, cancellations=cancelled)))
        clock.pass_ms(2)
        assert await journal.trim(START_MS + 1 + HOLD_MS_MAX) == 0
        assert [await Look(journal).idempotency("acme", str(n), 0) is None for n in range(4)] == [
            True,
            True,
            True,
            False,
        ]
        assert (await Look(journal).cancelled_since(0))[1] == [b"1", b"2", b"3"]
