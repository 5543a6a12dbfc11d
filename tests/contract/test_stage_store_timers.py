"""Guarantees of every stage store for timers: each fires once, the most urgent lane first."""

from clarion.ports.stage_store import (
    Broadcasts,
    StageResult,
)
from tests.contract.journals import (
    cursor,
    payloads,
    timer,
)
from tests.look import Look

PORT = "stage store"


class TestTimers:
    async def test_due_timers_become_frames_in_order_of_time_and_are_gone(self, store):
        await store.commit(
            StageResult(timers=[timer(b"2", 200), timer(b"1", 100), timer(b"3", 300), timer(b"o", 100, "u", 2)])
        )
        assert await Look(store).next_due_ms() == 100
        assert await store.fire(99, 10) == 0
        assert await store.fire(200, 10) == 3
        assert await payloads(store) == [b"timer 1", b"timer 2"]
        assert await payloads(store, "u", 2) == [b"timer o"]
        assert (await store.fire(299, 10), await Look(store).next_due_ms()) == (0, 300)
        assert (await store.fire(10_000, 10), await Look(store).next_due_ms()) == (1, None)
        assert [stored.count for stored in await Look(store).read("t", 0, 0)] == [1, 1, 1]

    async def test_firing_is_bounded(self, store):
        await store.commit(StageResult(timers=[timer(b"%d" % n, n) for n in range(10)]))
        assert [await store.fire(100, 4) for _ in range(4)] == [4, 4, 2, 0]
        assert await payloads(store) == [b"timer %d" % n for n in range(10)]

    async def test_the_same_timer_again_adds_and_replaces_nothing(self, store):
        await store.commit(StageResult(timers=[timer(b"1", 100)]))
        await store.commit(StageResult(timers=[timer(b"1", 50), timer(b"1", 70, "u")]))
        assert await Look(store).next_due_ms() == 100
        assert await store.fire(1_000, 10) == 1
        assert await payloads(store) == [b"timer 1"]


class TestUrgency:
    async def test_of_due_timers_the_most_urgent_lane_goes_first_then_the_time(self, store):
        lanes = ["t", "accepted.bulk", "deliver.push.high", "accepted.normal", "accepted.critical", "accepted.high"]
        await store.commit(StageResult(timers=[timer(b"%d" % n, 10 * n, topic) for n, topic in enumerate(lanes)]))
        await store.commit(StageResult(timers=[timer(b"late", 1_000, "accepted.critical")]))
        order = []
        while fired := await store.fire(100, 1):
            assert fired == 1
            order += [lane for lane in lanes if await Look(store).head(lane, 0) and lane not in order]
        assert order == [lanes[4], lanes[2], lanes[5], lanes[3], lanes[1], lanes[0]]
        assert await Look(store).next_due_ms() == 1_000

    async def test_one_call_continues_with_the_next_lane(self, store):
        topics = ["accepted.bulk"] * 3 + ["accepted.critical"] * 3
        await store.commit(StageResult(timers=[timer(b"%d" % n, n, topic) for n, topic in enumerate(topics)]))
        assert [await store.fire(100, 5) for _ in range(3)] == [5, 1, 0]
        assert await payloads(store, "accepted.bulk") == [b"timer 0", b"timer 1", b"timer 2"]
        assert await payloads(store, "accepted.critical") == [b"timer 3", b"timer 4", b"timer 5"]

    async def test_the_next_one_due_is_found_in_any_lane(self, store):
        assert await Look(store).next_due_ms() is None
        for due_ms, topic in ((50, "accepted.critical"), (40, "accepted.bulk"), (30, "t")):
            await store.commit(
                StageResult(timers=[timer(topic.encode(), due_ms, topic)], broadcasts=Broadcasts(cursors=[cursor()]))
            )
            assert await Look(store).next_due_ms() == due_ms
