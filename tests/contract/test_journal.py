"""What every journal backend promises about frames, waking and itself."""

import asyncio

import pytest

from clarion.domain.errors import DurabilityError
from clarion.domain.limits import JOURNAL_READ_BYTES_MAX, PARTITIONS_MAX
from clarion.ports.stage_store import StageResult
from tests.contract.journals import (
    BACKENDS,
    PARTITIONS,
    START_MS,
    frame,
    frames,
    offsets,
    timer,
)
from tests.look import Look

PORT = "journal"


class TestFrames:
    async def test_offsets_count_from_one_per_stream_without_gaps(self, journal):
        batch = StageResult(frames=[frame("a"), frame("a", 1), frame("b"), frame("a")])
        assert await journal.commit(batch) == [1, 1, 1, 2]
        assert await journal.commit(batch) == [3, 2, 2, 4]
        assert await offsets(journal, "a") == [1, 2, 3, 4]

    async def test_a_frame_reads_back_as_it_was_appended(self, journal, clock):
        await journal.commit(StageResult(frames=[frame("a", 3, b"\x00\xff payload", count=7)]))
        (stored,) = await Look(journal).read("a", 3, 0)
        assert (stored.topic, stored.partition, stored.offset, stored.count) == ("a", 3, 1, 7)
        assert (stored.appended_ms, stored.payload) == (clock.now_ms(), b"\x00\xff payload")

    async def test_reading_starts_after_an_offset_and_stops_at_the_limit(self, journal):
        await journal.commit(frames(*[b"%d" % n for n in range(10)]))
        assert [stored.payload for stored in await Look(journal).read("t", 0, 3, 4)] == [b"3", b"4", b"5", b"6"]
        assert (
            await Look(journal).read("t", 0, 10)
            == await Look(journal).read("t", 0, 99)
            == await Look(journal).read("unknown", 0, 0)
            == []
        )

    async def test_large_frames_are_read_fewer_at_a_time_but_never_none(self, journal):
        huge = b"x" * (JOURNAL_READ_BYTES_MAX - 1)
        await journal.commit(frames(b"small", huge, huge))
        assert [len(await Look(journal).read("t", 0, after)) for after in (0, 1, 2)] == [1, 1, 1]

    async def test_head_is_the_newest_offset(self, journal):
        assert await Look(journal).head("t", 0) == 0
        await journal.commit(frames(b"1", b"2"))
        assert await Look(journal).head("t", 0) == 2

    async def test_since_starts_at_a_time_even_when_the_wall_clock_went_back(self, journal, clock):
        for step_ms in (0, 100, -5_000, 5_100):
            clock.wall_ms += step_ms
            await journal.commit(frames(b"%d" % step_ms))
        found = await Look(journal).since("t", 0, START_MS + 100)
        assert [stored.offset for stored in found] == [2, 3, 4]
        assert [stored.appended_ms - START_MS for stored in found] == [100, 100, 200]
        assert len(await Look(journal).since("t", 0, 0)) == 4
        assert await Look(journal).since("t", 0, START_MS + 201) == await Look(journal).since("unknown", 0, 0) == []
        assert [stored.offset for stored in await Look(journal).since("t", 0, 0, 2)] == [1, 2]

    async def test_concurrent_appends_keep_their_order_and_lose_nothing(self, journal):
        async def appender(name: int) -> list[int]:
            return [(await journal.commit(frames(b"%d/%d" % (name, n))))[0] for n in range(20)]

        acknowledged = await asyncio.gather(*(appender(name) for name in range(30)))
        assert sorted(offset for own in acknowledged for offset in own) == list(range(1, 601))
        stored = {f.offset: f.payload for f in await Look(journal).read("t", 0, 0, 1_000)}
        assert all(stored[own[n]] == b"%d/%d" % (name, n) for name, own in enumerate(acknowledged) for n in range(20))
        assert all(own == sorted(own) for own in acknowledged)

    async def test_after_close_appends_are_refused(self, journal):
        await journal.close()
        with pytest.raises(DurabilityError):
            await journal.commit(frames(b"1"))


class TestWatch:
    async def test_an_append_between_the_read_and_the_wait_is_not_missed(self, journal):
        watch = journal.watch()
        assert await Look(journal).read("t", 0, 0) == []
        await journal.commit(frames(b"1"))
        assert await watch.wait(10_000)

    async def test_an_append_during_the_wait_ends_it_for_everyone(self, journal):
        watches = [journal.watch() for _ in range(20)]
        waits = asyncio.gather(*(watch.wait(10_000) for watch in watches))
        await asyncio.sleep(0)
        await journal.commit(frames(b"1"))
        assert await waits == [True] * 20

    async def test_silence_ends_in_a_timeout(self, journal):
        watch = journal.watch()
        assert not await watch.wait(20)
        assert not await watch.wait(0)

    async def test_what_was_reported_is_not_reported_again(self, journal):
        watch = journal.watch()
        await journal.commit(frames(b"1"))
        assert await watch.wait(10_000)
        assert not await watch.wait(20)

    async def test_timers_that_fire_wake_their_readers(self, journal):
        await journal.commit(StageResult(timers=[timer(b"1", 100)]))
        watch = journal.watch()
        assert await journal.fire(100, 10) == 1
        assert await watch.wait(10_000)


class TestBackends:
    async def test_every_backend_declares_what_it_can_lose(self, journal):
        assert journal.store_traits.failure_model.endswith(".")
        assert journal.partitions == PARTITIONS

    @pytest.mark.parametrize("partitions", [0, PARTITIONS_MAX + 1])
    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    async def test_the_number_of_partitions_is_bounded(self, backend, partitions, tmp_path, clock, monkeypatch):
        monkeypatch.setattr("tests.contract.journals.PARTITIONS", partitions)
        with pytest.raises(ValueError, match="partitions"):
            backend(tmp_path, clock)
