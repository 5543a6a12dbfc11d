"""What every journal backend promises about what lies beside the frames: timers, keys, cancellations, cursors."""

import pytest

from clarion.domain.errors import StaleLease
from clarion.domain.limits_deciding import HOLD_MS_MAX
from clarion.ports.stage_store import (
    Admission,
    Broadcasts,
    Cancellation,
    CursorMove,
    IdempotencyEntry,
    Lease,
    StageResult,
    StaleCursor,
    StaleKey,
)
from tests.contract.journals import (
    START_MS,
    cursor,
    frame,
    held,
    payloads,
    timer,
)
from tests.look import Look

PORT = "journal"


class TestTimers:
    async def test_due_timers_become_frames_in_order_of_time_and_are_gone(self, journal):
        await journal.commit(
            StageResult(timers=[timer(b"2", 200), timer(b"1", 100), timer(b"3", 300), timer(b"o", 100, "u", 2)])
        )
        assert await Look(journal).next_due_ms() == 100
        assert await journal.fire(99, 10) == 0
        assert await journal.fire(200, 10) == 3
        assert await payloads(journal) == [b"timer 1", b"timer 2"]
        assert await payloads(journal, "u", 2) == [b"timer o"]
        assert (await journal.fire(299, 10), await Look(journal).next_due_ms()) == (0, 300)
        assert (await journal.fire(10_000, 10), await Look(journal).next_due_ms()) == (1, None)
        assert [stored.count for stored in await Look(journal).read("t", 0, 0)] == [1, 1, 1]

    async def test_firing_is_bounded(self, journal):
        await journal.commit(StageResult(timers=[timer(b"%d" % n, n) for n in range(10)]))
        assert [await journal.fire(100, 4) for _ in range(4)] == [4, 4, 2, 0]
        assert await payloads(journal) == [b"timer %d" % n for n in range(10)]

    async def test_the_same_timer_again_adds_and_replaces_nothing(self, journal):
        await journal.commit(StageResult(timers=[timer(b"1", 100)]))
        await journal.commit(StageResult(timers=[timer(b"1", 50), timer(b"1", 70, "u")]))
        assert await Look(journal).next_due_ms() == 100
        assert await journal.fire(1_000, 10) == 1
        assert await payloads(journal) == [b"timer 1"]


class TestIdempotency:
    def entry(self, answer: bytes, expires_ms: int, tenant: str = "acme") -> StageResult:
        return StageResult(
            admission=Admission(idempotency=[IdempotencyEntry(tenant, "key", b"hash", answer, expires_ms)])
        )

    async def test_a_key_is_remembered_per_tenant_until_it_expires(self, journal):
        await journal.commit(self.entry(b"one", START_MS + 100))
        await journal.commit(self.entry(b"two", START_MS + 100, tenant="other"))
        found = await Look(journal).idempotency("acme", "key", START_MS + 99)
        assert found == IdempotencyEntry("acme", "key", b"hash", b"one", START_MS + 100)
        assert (await Look(journal).idempotency("other", "key", START_MS)).answer == b"two"
        assert await Look(journal).idempotency("acme", "key", START_MS + 100) is None
        assert await Look(journal).idempotency("acme", "unknown", START_MS) is None

    async def test_another_answer_is_refused_until_the_first_expires(self, journal, clock):
        await journal.commit(self.entry(b"first", START_MS + 100))
        both = StageResult(
            frames=[frame()],
            admission=Admission(
                idempotency=[
                    IdempotencyEntry("acme", "new", b"", b"", START_MS + 1),
                    *self.entry(b"2", 500).admission.idempotency,
                ]
            ),
        )
        with pytest.raises(StaleKey) as refused:
            await journal.commit(both)
        assert refused.value.keys == {("acme", "key")}
        assert (await Look(journal).head("t", 0), await Look(journal).idempotency("acme", "new", START_MS)) == (0, None)
        assert (await Look(journal).idempotency("acme", "key", START_MS)).answer == b"first"
        clock.pass_ms(100)
        await journal.commit(self.entry(b"third", START_MS + 900))
        assert (await Look(journal).idempotency("acme", "key", clock.now_ms())).answer == b"third"

    async def test_the_same_answer_again_changes_nothing(self, journal):
        await journal.commit(self.entry(b"first", START_MS + 100))
        assert await journal.commit(
            StageResult(
                frames=[frame()],
                admission=Admission(idempotency=self.entry(b"first", START_MS + 900).admission.idempotency),
            )
        ) == [1]
        assert (await Look(journal).idempotency("acme", "key", START_MS)).expires_ms == START_MS + 100

    async def test_one_append_gives_a_key_one_answer(self, journal):
        first, second = (
            self.entry(answer, START_MS + 100).admission.idempotency[0] for answer in (b"first", b"second")
        )
        with pytest.raises(StaleKey):
            await journal.commit(StageResult(admission=Admission(idempotency=[first, second])))
        assert await Look(journal).idempotency("acme", "key", START_MS) is None


class TestCancellations:
    async def test_each_is_told_once_after_the_sequence_number_one_knows(self, journal):
        assert await Look(journal).cancelled_since(0) == (0, [])
        await journal.commit(
            StageResult(
                admission=Admission(cancellations=[Cancellation("acme", b"a", 1), Cancellation("acme", b"b", 2)])
            )
        )
        sequence, ids = await Look(journal).cancelled_since(0)
        assert ids == [b"a", b"b"]
        assert await Look(journal).cancelled_since(sequence) == (sequence, [])
        await journal.commit(StageResult(admission=Admission(cancellations=[Cancellation("acme", b"c", 3)])))
        newer, ids = await Look(journal).cancelled_since(sequence)
        assert (newer > sequence, ids) == (True, [b"c"])

    async def test_sequence_numbers_do_not_come_again_after_a_trim(self, journal):
        await journal.commit(StageResult(admission=Admission(cancellations=[Cancellation("acme", b"a", 1)])))
        sequence, _ = await Look(journal).cancelled_since(0)
        await journal.trim(2 + HOLD_MS_MAX)
        assert await Look(journal).cancelled_since(0) == (0, [])
        await journal.commit(StageResult(admission=Admission(cancellations=[Cancellation("acme", b"b", 3)])))
        assert (await Look(journal).cancelled_since(sequence))[1] == [b"b"]

    async def test_a_cancellation_outlives_the_timer_of_what_it_cancels(self, journal, clock):
        subject = Cancellation("acme", b"a", 1)
        await journal.commit(
            StageResult(timers=[timer(b"a", START_MS + 5)], admission=Admission(cancellations=[subject]))
        )
        await journal.trim(START_MS)
        assert (await Look(journal).cancelled_since(0))[1] == [b"a"]
        await journal.fire(START_MS + 5, 10)
        await journal.trim(START_MS)
        assert (await Look(journal).cancelled_since(0))[1] == []

    async def test_a_cancellation_outlives_whatever_may_be_held(self, journal):
        await journal.commit(StageResult(admission=Admission(cancellations=[Cancellation("acme", b"a", START_MS)])))
        await journal.trim(START_MS + HOLD_MS_MAX)
        assert (await Look(journal).cancelled_since(0))[1] == [b"a"]
        await journal.trim(START_MS + HOLD_MS_MAX + 1)
        assert (await Look(journal).cancelled_since(0))[1] == []


class TestCursors:
    def move(self, lease: Lease, start: int, end: int, *, done: bool = False) -> CursorMove:
        return CursorMove(lease, b"c", start, end, planned=3, skipped=2, users=5, done=done)

    async def test_moves_add_up_and_travel_with_their_frames(self, journal, clock):
        lease = await held(journal)
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        clock.pass_ms(7)
        await journal.commit(StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[self.move(lease, 0, 10)])))
        await journal.commit(
            StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[self.move(lease, 10, 20, done=True)]))
        )
        found = await Look(journal).cursor(b"c")
        assert (found.position, found.planned, found.skipped, found.users) == (20, 6, 4, 10)
        assert (found.status, found.updated_ms, found.created_ms) == ("done", START_MS + 7, START_MS)
        assert await Look(journal).cursor(b"unknown") is None

    @pytest.mark.parametrize("status", ["paused", "cancelled", "done"])
    async def test_a_cursor_that_does_not_run_moves_nowhere(self, journal, status):
        lease = await held(journal)
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor(status=status)])))
        with pytest.raises(StaleCursor):
            await journal.commit(StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[self.move(lease, 0, 10)])))
        assert (await Look(journal).head("t", 0), (await Look(journal).cursor(b"c")).position) == (0, 0)

    async def test_a_cursor_moved_by_someone_else_refuses_the_whole_append(self, journal):
        lease = await held(journal)
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor(), cursor(b"d")])))
        other = CursorMove(lease, b"d", 0, 10, 1, 1, 1, done=False)
        with pytest.raises(StaleCursor):
            await journal.commit(
                StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[other, self.move(lease, 5, 10)]))
            )
        assert (await Look(journal).head("t", 0), await Look(journal).cursors()) == (0, [cursor(), cursor(b"d")])
        with pytest.raises(StaleCursor):
            await journal.commit(
                StageResult(broadcasts=Broadcasts(moves=[CursorMove(lease, b"?", 0, 1, 0, 0, 0, done=False)]))
            )

    async def test_a_move_needs_its_lease(self, journal):
        stale, _ = await held(journal), await held(journal)
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        with pytest.raises(StaleLease):
            await journal.commit(StageResult(broadcasts=Broadcasts(moves=[self.move(stale, 0, 10)])))

    async def test_pause_and_resume_and_cancel(self, journal):
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        assert await journal.set_cursor_status(b"c", "paused", ["running"], START_MS + 1)
        assert not await journal.set_cursor_status(b"c", "paused", ["running"], START_MS + 2)
        assert await journal.set_cursor_status(b"c", "running", ["paused"], START_MS + 3)
        assert await journal.set_cursor_status(b"c", "cancelled", ["running", "paused"], START_MS + 4)
        assert not await journal.set_cursor_status(b"c", "running", ["running", "paused"], START_MS + 5)
        assert not await journal.set_cursor_status(b"unknown", "paused", ["running"], START_MS)
        found = await Look(journal).cursor(b"c")
        assert (found.status, found.updated_ms) == ("cancelled", START_MS + 4)

    async def test_listing_filters_and_starts_with_the_oldest(self, journal):
        new, old, paused = cursor(b"a", 1, 30), cursor(b"b", 2, 10), cursor(b"c", 1, 20, "paused")
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[new, old, paused])))
        assert await Look(journal).cursors() == [old, paused, new]
        assert await Look(journal).cursors(partition=1) == [paused, new]
        assert await Look(journal).cursors(status="running") == [old, new]
        assert await Look(journal).cursors(1, "running") == [new]

    async def test_the_same_cursor_again_replaces_nothing(self, journal):
        await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        await journal.commit(
            StageResult(broadcasts=Broadcasts(cursors=[cursor(created_ms=START_MS + 5, status="done")]))
        )
        assert await Look(journal).cursors() == [cursor()]
