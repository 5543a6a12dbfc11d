"""What every journal backend promises about what planning keeps: cells, waits and signals, cap times, and timers by urgency."""

import asyncio
from struct import unpack

import msgspec
import pytest

from clarion.domain.errors import StaleLease
from clarion.domain.limits_deciding import CAP_BLOCK_USERS
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait, WaitEnd
from clarion.ports.stage_store import (
    Admission,
    Broadcasts,
    Commit,
    IdempotencyEntry,
    PlanState,
    Progress,
    StageResult,
    StaleCaps,
)
from tests.contract.journals import START_MS, cursor, frame, frames, held, payloads, timer
from tests.look import Look

PORT = "journal"
RULE = b"rule"


def wait(
    key: bytes = b"k",
    subject: bytes = b"s",
    *,
    topic: str = "accepted.high",
    partition: int = 1,
    ttl_ms: int = 100,
    tenant: str = "acme",
) -> Wait:
    return Wait(tenant, key, subject, topic, partition, START_MS + ttl_ms)


def cap(block: int, *changes: tuple[int, int, int], tenant: str = "acme", rule: bytes = RULE) -> StageResult:
    return StageResult(plan_state=PlanState(caps=[CapWrite(tenant, rule, block, changes)]))


async def times(journal, block: int = 0, tenant: str = "acme", rule: bytes = RULE) -> dict[int, int]:
    """Return slots of a block that hold a time."""
    block_bytes = (await Look(journal).caps(tenant, rule, [block])).get(block, bytes(4 * CAP_BLOCK_USERS))
    return {slot: at_s for slot, at_s in enumerate(unpack(f"<{CAP_BLOCK_USERS}I", block_bytes)) if at_s}


async def planned(journal) -> StageResult:
    """Return an append with a part of every kind that planning uses, under a fresh lease."""
    lease = await held(journal, "plan", 1)
    return StageResult(
        frames=[frame("deliver.push.high", 1)],
        timers=[timer(b"t", START_MS)],
        lease=lease,
        progress=Progress(commits=[Commit(lease, "accepted.high", 7)]),
        plan_state=PlanState(
            cells=[Cell(1, b"a", b"new"), Cell(1, b"b", None)],
            waits=[wait(b"new")],
            ended_waits=[WaitEnd("acme", b"old", b"s")],
            signals=[Signal("acme", b"old", b"signal")],
            caps=[CapWrite("acme", RULE, 0, ((0, 5, 6),))],
        ),
    )


async def before_planning(journal) -> None:
    """Store what `planned` finds."""
    old = [Cell(1, b"b", b"old")]
    await journal.commit(
        StageResult(
            plan_state=PlanState(cells=old, waits=[wait(b"old")], caps=[CapWrite("acme", RULE, 0, ((0, 0, 5),))])
        )
    )


async def seen(journal) -> list[object]:
    """Return everything that `planned` changes."""
    return [
        await Look(journal).head("deliver.push.high", 1),
        await Look(journal).committed("plan", 1),
        await Look(journal).next_due_ms(),
        await Look(journal).cells(1, [b"a", b"b"]),
        [await Look(journal).waits("acme", b"new"), await Look(journal).waits("acme", b"old")],
        await payloads(journal, "accepted.high", 1),
        await times(journal),
    ]


class TestOneStep:
    async def test_all_parts_of_an_append_are_stored(self, journal):
        await before_planning(journal)
        assert await journal.commit(await planned(journal)) == [1]
        assert (await Look(journal).head("deliver.push.high", 1), await Look(journal).next_due_ms()) == (1, START_MS)
        assert (await Look(journal).committed("plan", 1))["accepted.high"].offset == 7
        assert await Look(journal).cells(1, [b"a", b"b"]) == {b"a": b"new"}
        assert (await Look(journal).waits("acme", b"new"), await Look(journal).waits("acme", b"old")) == (
            [wait(b"new")],
            [],
        )
        assert (await payloads(journal, "accepted.high", 1), await times(journal)) == ([b"signal"], {0: 6})

    @pytest.mark.parametrize("refusal", ["lease", "caps", "key"])
    async def test_a_refused_append_stores_nothing_of_any_part_and_spares_its_neighbours(self, journal, refusal):
        await before_planning(journal)
        batch = await planned(journal)
        if refusal == "lease":
            await held(journal, "plan", 1)
        elif refusal == "caps":
            await journal.commit(cap(0, (0, 5, 5), (1, 0, 9)))
            changes = [CapWrite("acme", RULE, 3, ((0, 0, 1),)), CapWrite("acme", RULE, 0, ((1, 0, 8),))]
            batch = msgspec.structs.replace(batch, plan_state=msgspec.structs.replace(batch.plan_state, caps=changes))
        else:
            await journal.commit(
                StageResult(
                    admission=Admission(idempotency=[IdempotencyEntry("acme", "k", b"h", b"other", START_MS + 1)])
                )
            )
            mine = IdempotencyEntry("acme", "k", b"h", b"mine", START_MS + 1)
            batch = msgspec.structs.replace(batch, admission=Admission(idempotency=[mine]))
        found = await seen(journal)
        first, refused, last = await asyncio.gather(
            *map(journal.commit, [frames(b"1"), batch, frames(b"2")]), return_exceptions=True
        )
        assert (first, last, type(refused).__name__) == (
            [1],
            [2],
            {"lease": "StaleLease", "caps": "StaleCaps", "key": "StaleKey"}[refusal],
        )
        assert await seen(journal) == found
        assert await times(journal, 3) == {}


class TestCells:
    async def test_the_newest_value_counts_and_none_removes(self, journal):
        await journal.commit(
            StageResult(
                plan_state=PlanState(cells=[Cell(0, b"a", b"1"), Cell(0, b"b", b""), Cell(1, b"a", b"other partition")])
            )
        )
        assert await Look(journal).cells(0, [b"b", b"a", b"c"]) == {b"a": b"1", b"b": b""}
        await journal.commit(
            StageResult(plan_state=PlanState(cells=[Cell(0, b"a", b"2"), Cell(0, b"b", None), Cell(0, b"c", None)]))
        )
        assert await Look(journal).cells(0, [b"a", b"b", b"c"]) == {b"a": b"2"}
        assert (await Look(journal).cells(1, [b"a"]), await Look(journal).cells(0, [])) == (
            {b"a": b"other partition"},
            {},
        )

    async def test_of_several_in_one_append_the_last_counts(self, journal):
        await journal.commit(
            StageResult(plan_state=PlanState(cells=[Cell(0, b"a", b"1"), Cell(0, b"a", None), Cell(0, b"b", None)]))
        )
        await journal.commit(
            StageResult(plan_state=PlanState(cells=[Cell(0, b"b", None), Cell(0, b"b", b"1"), Cell(0, b"b", b"2")]))
        )
        assert await Look(journal).cells(0, [b"a", b"b"]) == {b"b": b"2"}

    async def test_those_under_a_prefix_come_in_order_a_page_at_a_time(self, journal):
        keys = [b"d\xff", b"e", b"e\x00", b"e\xff", b"e\xff\xff", b"f", b"\xff", b"\xff\xff"]
        await journal.commit(
            StageResult(
                plan_state=PlanState(cells=[Cell(2, key, b"v" + key) for key in reversed(keys)] + [Cell(3, b"ea", b"")])
            )
        )
        assert await Look(journal).cells_under(2, b"e", 10) == [(key, b"v" + key) for key in keys[1:5]]
        assert [key for key, _ in await Look(journal).cells_under(2, b"e", 2, after=b"e")] == keys[2:4]
        assert [key for key, _ in await Look(journal).cells_under(2, b"", 10)] == keys
        assert [key for key, _ in await Look(journal).cells_under(2, b"\xff", 10)] == keys[6:]
        assert (
            await Look(journal).cells_under(2, b"g", 10),
            await Look(journal).cells_under(2, b"e", 10, after=b"f"),
        ) == ([], [])

    async def test_trimming_takes_no_cell_and_no_cap(self, journal, clock):
        lease = await held(journal)
        await journal.commit(
            StageResult(
                frames=[frame()],
                progress=Progress([Commit(lease, "t", 1)]),
                plan_state=PlanState(cells=[Cell(0, b"a", b"1")]),
            )
        )
        await journal.commit(cap(0, (1, 0, 5)))
        clock.pass_ms(1_000_000_000)
        assert await journal.trim(clock.now_ms()) == 1
        assert (await Look(journal).cells(0, [b"a"]), await times(journal)) == ({b"a": b"1"}, {1: 5})


class TestWaits:
    async def test_who_waits_is_told_by_tenant_and_key_until_the_wait_ends_or_expires(self, journal, clock):
        mine, late = wait(subject=b"1"), wait(subject=b"2", ttl_ms=200)
        await journal.commit(
            StageResult(plan_state=PlanState(waits=[late, mine, wait(b"other key"), wait(tenant="other")]))
        )
        assert (await Look(journal).waits("acme", b"k"), await Look(journal).waits("acme", b"k", limit=1)) == (
            [mine, late],
            [mine],
        )
        clock.pass_ms(100)
        assert await Look(journal).waits("acme", b"k") == [late]
        await journal.commit(
            StageResult(
                plan_state=PlanState(ended_waits=[WaitEnd("acme", b"k", b"2"), WaitEnd("acme", b"k", b"gone already")])
            )
        )
        assert await Look(journal).waits("acme", b"k") == []
        assert await Look(journal).waits("other", b"k") == []

    async def test_the_same_wait_again_replaces_it(self, journal):
        moved = wait(topic="accepted.bulk", partition=2, ttl_ms=500)
        await journal.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        await journal.commit(StageResult(plan_state=PlanState(waits=[moved])))
        assert await Look(journal).waits("acme", b"k") == [moved]

    async def test_a_wait_ended_and_set_in_one_append_is_set(self, journal):
        await journal.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        await journal.commit(
            StageResult(plan_state=PlanState(waits=[wait(ttl_ms=300)], ended_waits=[WaitEnd("acme", b"k", b"s")]))
        )
        assert await Look(journal).waits("acme", b"k") == [wait(ttl_ms=300)]

    async def test_a_signal_reaches_each_stream_once(self, journal, clock):
        await journal.commit(
            StageResult(
                plan_state=PlanState(
                    waits=[
                        *(wait(subject=b"%d" % n) for n in range(3)),
                        wait(subject=b"p", partition=2),
                        wait(subject=b"t", topic="accepted.bulk"),
                        wait(b"other", partition=3),
                        wait(partition=3, tenant="other"),
                        wait(subject=b"expired", partition=3, ttl_ms=10),
                    ]
                )
            )
        )
        clock.pass_ms(10)
        mine = [frame("accepted.high", 1, b"mine")]
        assert await journal.commit(
            StageResult(frames=mine, plan_state=PlanState(signals=[Signal("acme", b"k", b"now")]))
        ) == [1]
        assert await payloads(journal, "accepted.high", 1) == [b"mine", b"now"]
        assert await payloads(journal, "accepted.high", 2) == await payloads(journal, "accepted.bulk", 1) == [b"now"]
        assert await Look(journal).head("accepted.high", 3) == 0
        assert len(await Look(journal).waits("acme", b"k")) == 5
        assert [stored.count for stored in await Look(journal).read("accepted.high", 2, 0)] == [1]

    async def test_a_signal_nobody_waits_for_is_no_error(self, journal):
        assert await journal.commit(StageResult(plan_state=PlanState(signals=[Signal("acme", b"k", b"now")]))) == []

    async def test_a_signal_goes_to_those_who_waited_before_its_append(self, journal):
        await journal.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        await journal.commit(
            StageResult(
                plan_state=PlanState(
                    waits=[wait(subject=b"new", partition=2)],
                    ended_waits=[WaitEnd("acme", b"k", b"s")],
                    signals=[Signal("acme", b"k", b"now")],
                )
            )
        )
        assert (await payloads(journal, "accepted.high", 1), await Look(journal).head("accepted.high", 2)) == (
            [b"now"],
            0,
        )

    async def test_signals_wake_who_watches_the_stream(self, journal):
        await journal.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        watch = journal.watch(["accepted.high"], 1)
        await journal.commit(StageResult(plan_state=PlanState(signals=[Signal("acme", b"k", b"now")])))
        assert await watch.wait(10_000)

    async def test_expired_waits_are_trimmed(self, journal, clock):
        await journal.commit(
            StageResult(plan_state=PlanState(waits=[wait(subject=b"%d" % n, ttl_ms=n) for n in range(500)]))
        )
        clock.pass_ms(400)
        await journal.trim(0)
        clock.wall_ms = START_MS - 1  # the clock goes back, but what was deleted stays so
        assert len(await Look(journal).waits("acme", b"k")) == 99


class TestCaps:
    async def test_times_are_kept_per_tenant_rule_and_block(self, journal):
        await journal.commit(
            StageResult(
                plan_state=PlanState(
                    caps=[
                        CapWrite("acme", RULE, 0, ((0, 0, 1), (63, 0, 2**32 - 1))),
                        CapWrite("acme", RULE, 7, ((5, 0, 3),)),
                        CapWrite("acme", b"other rule", 0, ((0, 0, 4),)),
                        CapWrite("other", RULE, 0, ((0, 0, 5),)),
                    ]
                )
            )
        )
        assert (await times(journal), await times(journal, 7)) == ({0: 1, 63: 2**32 - 1}, {5: 3})
        assert (await times(journal, rule=b"other rule"), await times(journal, tenant="other")) == ({0: 4}, {0: 5})
        found = await Look(journal).caps("acme", RULE, [0, 1, 7])
        assert {block: len(data) for block, data in found.items()} == {0: 256, 7: 256}
        assert await Look(journal).caps("acme", RULE, []) == {}

    async def test_a_time_changed_since_it_was_read_refuses_the_append(self, journal):
        await journal.commit(cap(0, (3, 0, 10), (4, 0, 20)))
        with pytest.raises(StaleCaps):
            await journal.commit(cap(0, (3, 10, 11), (4, 0, 21)))
        with pytest.raises(StaleCaps):
            await journal.commit(cap(1, (0, 5, 6)))
        assert (await times(journal), await times(journal, 1)) == ({3: 10, 4: 20}, {})
        await journal.commit(cap(0, (3, 10, 11), (4, 20, 0)))
        assert await times(journal) == {3: 11}

    async def test_neighbours_in_a_block_do_not_disturb_each_other(self, journal):
        await asyncio.gather(*(journal.commit(cap(0, (slot, 0, slot + 1))) for slot in range(CAP_BLOCK_USERS)))
        assert await times(journal) == {slot: slot + 1 for slot in range(CAP_BLOCK_USERS)}

    async def test_a_block_may_be_written_twice_in_one_append(self, journal):
        twice = [CapWrite("acme", RULE, 0, ((0, 0, 1),)), CapWrite("acme", RULE, 0, ((0, 1, 2), (1, 0, 3)))]
        await journal.commit(StageResult(plan_state=PlanState(caps=twice)))
        assert await times(journal) == {0: 2, 1: 3}

    async def test_many_blocks_go_in_one_append(self, journal):
        blocks = range(500)
        await journal.commit(
            StageResult(
                plan_state=PlanState(caps=[CapWrite("acme", RULE, block, ((1, 0, block + 1),)) for block in blocks])
            )
        )
        assert set(await Look(journal).caps("acme", RULE, blocks)) == set(blocks)
        assert await times(journal, 499) == {1: 500}

    async def test_a_stale_lease_writes_no_cap(self, journal):
        stale, _ = await held(journal), await held(journal)
        with pytest.raises(StaleLease):
            await journal.commit(
                StageResult(
                    lease=stale,
                    plan_state=PlanState(caps=cap(0, (0, 0, 1)).plan_state.caps, cells=[Cell(0, b"a", b"1")]),
                )
            )
        assert (await times(journal), await Look(journal).cells(0, [b"a"])) == ({}, {})

    @pytest.mark.parametrize("change", [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 2**32), (0, 2**32, 1), (0, 0, -1)])
    def test_what_no_block_can_hold_is_no_change(self, change):
        with pytest.raises(ValueError, match="not a change of a cap block"):
            CapWrite("acme", RULE, 0, (change,))


class TestUrgency:
    async def test_of_due_timers_the_most_urgent_lane_goes_first_then_the_time(self, journal):
        lanes = ["t", "accepted.bulk", "deliver.push.high", "accepted.normal", "accepted.critical", "accepted.high"]
        await journal.commit(StageResult(timers=[timer(b"%d" % n, 10 * n, topic) for n, topic in enumerate(lanes)]))
        await journal.commit(StageResult(timers=[timer(b"late", 1_000, "accepted.critical")]))
        order = []
        while fired := await journal.fire(100, 1):
            assert fired == 1
            order += [lane for lane in lanes if await Look(journal).head(lane, 0) and lane not in order]
        assert order == [lanes[4], lanes[2], lanes[5], lanes[3], lanes[1], lanes[0]]
        assert await Look(journal).next_due_ms() == 1_000

    async def test_one_call_goes_on_with_the_next_lane(self, journal):
        topics = ["accepted.bulk"] * 3 + ["accepted.critical"] * 3
        await journal.commit(StageResult(timers=[timer(b"%d" % n, n, topic) for n, topic in enumerate(topics)]))
        assert [await journal.fire(100, 5) for _ in range(3)] == [5, 1, 0]
        assert await payloads(journal, "accepted.bulk") == [b"timer 0", b"timer 1", b"timer 2"]
        assert await payloads(journal, "accepted.critical") == [b"timer 3", b"timer 4", b"timer 5"]

    async def test_the_next_one_due_is_found_in_any_lane(self, journal):
        assert await Look(journal).next_due_ms() is None
        for due_ms, topic in ((50, "accepted.critical"), (40, "accepted.bulk"), (30, "t")):
            await journal.commit(
                StageResult(timers=[timer(topic.encode(), due_ms, topic)], broadcasts=Broadcasts(cursors=[cursor()]))
            )
            assert await Look(journal).next_due_ms() == due_ms
