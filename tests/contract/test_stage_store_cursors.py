"""Guarantees of every stage store for cursors of broadcasts: they move only from their present position."""

import pytest

from clarion.domain.errors import StaleLease
from clarion.ports.stage_store import (
    Broadcasts,
    CursorMove,
    Lease,
    StageResult,
    StaleCursor,
)
from tests.contract.journals import (
    START_MS,
    cursor,
    frame,
    held,
)
from tests.look import Look

PORT = "stage store"


class TestCursors:
    def move(self, lease: Lease, start: int, end: int, *, done: bool = False) -> CursorMove:
        return CursorMove(lease, b"c", start, end, planned=3, skipped=2, users=5, done=done)

    async def test_moves_add_up_and_travel_with_their_frames(self, store, clock):
        lease = await held(store)
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        clock.pass_ms(7)
        await store.commit(StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[self.move(lease, 0, 10)])))
        await store.commit(
            StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[self.move(lease, 10, 20, done=True)]))
        )
        found = await Look(store).cursor(b"c")
        assert (found.position, found.planned, found.skipped, found.users) == (20, 6, 4, 10)
        assert (found.status, found.updated_ms, found.created_ms) == ("done", START_MS + 7, START_MS)
        assert await Look(store).cursor(b"unknown") is None

    @pytest.mark.parametrize("status", ["paused", "cancelled", "done"])
    async def test_a_cursor_that_does_not_run_moves_nowhere(self, store, status):
        lease = await held(store)
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor(status=status)])))
        with pytest.raises(StaleCursor):
            await store.commit(StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[self.move(lease, 0, 10)])))
        assert (await Look(store).head("t", 0), (await Look(store).cursor(b"c")).position) == (0, 0)

    async def test_a_cursor_moved_by_someone_else_refuses_the_whole_append(self, store):
        lease = await held(store)
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor(), cursor(b"d")])))
        other = CursorMove(lease, b"d", 0, 10, 1, 1, 1, done=False)
        with pytest.raises(StaleCursor):
            await store.commit(
                StageResult(frames=[frame()], broadcasts=Broadcasts(moves=[other, self.move(lease, 5, 10)]))
            )
        assert (await Look(store).head("t", 0), await Look(store).cursors()) == (0, [cursor(), cursor(b"d")])
        with pytest.raises(StaleCursor):
            await store.commit(
                StageResult(broadcasts=Broadcasts(moves=[CursorMove(lease, b"?", 0, 1, 0, 0, 0, done=False)]))
            )

    async def test_a_move_needs_its_lease(self, store):
        stale, _ = await held(store), await held(store)
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        with pytest.raises(StaleLease):
            await store.commit(StageResult(broadcasts=Broadcasts(moves=[self.move(stale, 0, 10)])))

    async def test_pause_and_resume_and_cancel(self, store):
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        assert await store.set_cursor_status(b"c", "paused", ["running"], START_MS + 1)
        assert not await store.set_cursor_status(b"c", "paused", ["running"], START_MS + 2)
        assert await store.set_cursor_status(b"c", "running", ["paused"], START_MS + 3)
        assert await store.set_cursor_status(b"c", "cancelled", ["running", "paused"], START_MS + 4)
        assert not await store.set_cursor_status(b"c", "running", ["running", "paused"], START_MS + 5)
        assert not await store.set_cursor_status(b"unknown", "paused", ["running"], START_MS)
        found = await Look(store).cursor(b"c")
        assert (found.status, found.updated_ms) == ("cancelled", START_MS + 4)

    async def test_listing_filters_and_starts_with_the_oldest(self, store):
        new, old, paused = cursor(b"a", 1, 30), cursor(b"b", 2, 10), cursor(b"c", 1, 20, "paused")
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[new, old, paused])))
        assert await Look(store).cursors() == [old, paused, new]
        assert await Look(store).cursors(partition=1) == [paused, new]
        assert await Look(store).cursors(status="running") == [old, new]
        assert await Look(store).cursors(1, "running") == [new]

    async def test_the_same_cursor_again_replaces_nothing(self, store):
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor()])))
        await store.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor(created_ms=START_MS + 5, status="done")])))
        assert await Look(store).cursors() == [cursor()]

    async def test_cursors_are_listed_by_partition_and_status(self, store):
        made = [cursor(b"%d" % n, partition=n % 3, created_ms=START_MS + n) for n in range(6)]
        await store.commit(StageResult(broadcasts=Broadcasts(made)))
        assert await store.set_cursor_status(b"3", "paused", ["running"], START_MS)
        assert [one.cursor_id for one in await store.cursors_in([0, 1])] == [b"0", b"1", b"3", b"4"]
        assert [one.cursor_id for one in await store.cursors_in([0, 1], "running")] == [b"0", b"1", b"4"]
        assert await store.cursors_in([]) == []
