"""Guarantees of every carrier for frames and watches."""

import asyncio

import pytest

from clarion.domain.limits_processes import JOURNAL_READ_BYTES_MAX
from clarion.ports.stage_store import (
    Broadcasts,
    StageResult,
)
from tests.contract.backends import ONCE
from tests.contract.journals import (
    START_MS,
    cursor,
    frame,
    frames,
    offsets,
    timer,
)
from tests.look import Look

PORT = "streams"


class TestFrames:
    @pytest.mark.needs_trait(ONCE)
    async def test_offsets_count_from_one_per_stream_without_gaps(self, streams):
        batch = StageResult(frames=[frame("a"), frame("a", 1), frame("b"), frame("a")])
        assert (await streams.commit(batch)).offsets == [1, 1, 1, 2]
        assert (await streams.commit(batch)).offsets == [3, 2, 2, 4]
        assert await offsets(streams, "a") == [1, 2, 3, 4]

    @pytest.mark.needs_trait(ONCE)
    async def test_a_frame_reads_back_as_it_was_appended(self, streams, clock):
        await streams.commit(StageResult(frames=[frame("a", 3, b"\x00\xff payload", count=7)]))
        (stored,) = await Look(streams).read("a", 3, 0)
        assert (stored.topic, stored.partition, stored.offset, stored.count) == ("a", 3, 1, 7)
        assert (stored.appended_ms, stored.payload) == (clock.now_ms(), b"\x00\xff payload")

    @pytest.mark.needs_trait(ONCE)
    async def test_reading_starts_after_an_offset_and_stops_at_the_limit(self, streams):
        await streams.commit(frames(*[b"%d" % n for n in range(10)]))
        assert [stored.payload for stored in await Look(streams).read("t", 0, 3, 4)] == [b"3", b"4", b"5", b"6"]
        assert (
            await Look(streams).read("t", 0, 10)
            == await Look(streams).read("t", 0, 99)
            == await Look(streams).read("unknown", 0, 0)
            == []
        )

    @pytest.mark.needs_trait(ONCE)
    async def test_large_frames_are_read_fewer_at_a_time_but_never_none(self, streams):
        huge = b"x" * (JOURNAL_READ_BYTES_MAX - 1)
        await streams.commit(frames(b"small", huge, huge))
        assert [len(await Look(streams).read("t", 0, after)) for after in (0, 1, 2)] == [1, 1, 1]

    @pytest.mark.needs_trait(ONCE)
    async def test_since_starts_at_a_time_even_when_the_wall_clock_went_back(self, streams, clock):
        for step_ms in (0, 100, -5_000, 5_100):
            clock.wall_ms += step_ms
            await streams.commit(frames(b"%d" % step_ms))
        found = await Look(streams).since("t", 0, START_MS + 100)
        assert [stored.offset for stored in found] == [2, 3, 4]
        assert [stored.appended_ms - START_MS for stored in found] == [100, 100, 200]
        assert len(await Look(streams).since("t", 0, 0)) == 4
        assert await Look(streams).since("t", 0, START_MS + 201) == await Look(streams).since("unknown", 0, 0) == []
        assert [stored.offset for stored in await Look(streams).since("t", 0, 0, 2)] == [1, 2]

    @pytest.mark.needs_trait(ONCE)
    async def test_concurrent_appends_keep_their_order_and_lose_nothing(self, streams):
        async def appender(name: int) -> list[int]:
            return [(await streams.commit(frames(b"%d/%d" % (name, n)))).offsets[0] for n in range(20)]

        acknowledged = await asyncio.gather(*(appender(name) for name in range(30)))
        assert sorted(offset for own in acknowledged for offset in own) == list(range(1, 601))
        stored = {f.offset: f.payload for f in await Look(streams).read("t", 0, 0, 1_000)}
        assert all(stored[own[n]] == b"%d/%d" % (name, n) for name, own in enumerate(acknowledged) for n in range(20))
        assert all(own == sorted(own) for own in acknowledged)


class TestWatch:
    async def test_an_append_between_the_read_and_the_wait_is_not_missed(self, streams):
        watch = streams.watch()
        assert await Look(streams).read("t", 0, 0) == []
        await streams.commit(frames(b"1"))
        assert await watch.wait(10_000)

    async def test_an_append_during_the_wait_ends_it_for_everyone(self, streams):
        watches = [streams.watch() for _ in range(20)]
        waits = asyncio.gather(*(watch.wait(10_000) for watch in watches))
        await asyncio.sleep(0)
        await streams.commit(frames(b"1"))
        assert await waits == [True] * 20

    async def test_silence_ends_in_a_timeout(self, streams):
        watch = streams.watch()
        assert not await watch.wait(20)
        assert not await watch.wait(0)

    async def test_what_was_reported_is_not_reported_again(self, streams):
        watch = streams.watch()
        await streams.commit(frames(b"1"))
        assert await watch.wait(10_000)
        # A backend's periodic check may come just then and report it once more.
        again = [await watch.wait(20) for _ in range(4)]
        assert sum(again) <= 1

    async def test_timers_that_fire_wake_their_readers(self, streams):
        await streams.commit(StageResult(timers=[timer(b"1", 100)]))
        watch = streams.watch()
        assert await streams.fire(100, 10) == 1
        assert await watch.wait(10_000)

    async def test_a_broadcast_that_begins_or_resumes_wakes_watches_of_everything(self, streams):
        watch = streams.watch()
        begun = cursor()
        await streams.commit(StageResult(broadcasts=Broadcasts([begun])))
        assert await watch.wait(10_000)
        for status, before in (("paused", "running"), ("running", "paused")):
            assert await streams.set_cursor_status(begun.cursor_id, status, [before], 1)
            assert await watch.wait(10_000)
