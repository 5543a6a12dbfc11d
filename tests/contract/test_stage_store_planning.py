"""Guarantees of every stage store for the state of planning: cells, waits and signals, and cap times."""

import asyncio
from struct import unpack

import pytest

from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait, WaitEnd
from clarion.ports.stage_store import (
    Commit,
    GroupProgress,
    PlanState,
    StageResult,
    StaleCaps,
)
from tests.contract.journals import (
    START_MS,
    frame,
    held,
    payloads,
)
from tests.look import Look

PORT = "stage store"


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


async def times(store, block: int = 0, tenant: str = "acme", rule: bytes = RULE) -> dict[int, int]:
    """Return the slots of a block that have a time."""
    block_bytes = (await Look(store).caps(tenant, rule, [block])).get(block, bytes(4 * CAP_BLOCK_USERS))
    return {slot: at_s for slot, at_s in enumerate(unpack(f"<{CAP_BLOCK_USERS}I", block_bytes)) if at_s}


class TestCells:
    async def test_the_newest_value_counts_and_none_removes(self, store):
        await store.commit(
            StageResult(
                plan_state=PlanState(cells=[Cell(0, b"a", b"1"), Cell(0, b"b", b""), Cell(1, b"a", b"other partition")])
            )
        )
        assert await Look(store).cells(0, [b"b", b"a", b"c"]) == {b"a": b"1", b"b": b""}
        await store.commit(
            StageResult(plan_state=PlanState(cells=[Cell(0, b"a", b"2"), Cell(0, b"b", None), Cell(0, b"c", None)]))
        )
        assert await Look(store).cells(0, [b"a", b"b", b"c"]) == {b"a": b"2"}
        assert (await Look(store).cells(1, [b"a"]), await Look(store).cells(0, [])) == (
            {b"a": b"other partition"},
            {},
        )

    async def test_of_several_in_one_append_the_last_counts(self, store):
        await store.commit(
            StageResult(plan_state=PlanState(cells=[Cell(0, b"a", b"1"), Cell(0, b"a", None), Cell(0, b"b", None)]))
        )
        await store.commit(
            StageResult(plan_state=PlanState(cells=[Cell(0, b"b", None), Cell(0, b"b", b"1"), Cell(0, b"b", b"2")]))
        )
        assert await Look(store).cells(0, [b"a", b"b"]) == {b"b": b"2"}

    async def test_those_under_a_prefix_come_in_order_a_page_at_a_time(self, store):
        keys = [b"d\xff", b"e", b"e\x00", b"e\xff", b"e\xff\xff", b"f", b"\xff", b"\xff\xff"]
        await store.commit(
            StageResult(
                plan_state=PlanState(cells=[Cell(2, key, b"v" + key) for key in reversed(keys)] + [Cell(3, b"ea", b"")])
            )
        )
        assert await Look(store).cells_under(2, b"e", 10) == [(key, b"v" + key) for key in keys[1:5]]
        assert [key for key, _ in await Look(store).cells_under(2, b"e", 2, after=b"e")] == keys[2:4]
        assert [key for key, _ in await Look(store).cells_under(2, b"", 10)] == keys
        assert [key for key, _ in await Look(store).cells_under(2, b"\xff", 10)] == keys[6:]
        assert (
            await Look(store).cells_under(2, b"g", 10),
            await Look(store).cells_under(2, b"e", 10, after=b"f"),
        ) == ([], [])

    async def test_trimming_takes_no_cell_and_no_cap(self, store, clock):
        lease = await held(store)
        await store.commit(
            StageResult(
                frames=[frame()],
                progress=GroupProgress([Commit(lease, "t", 1)]),
                plan_state=PlanState(cells=[Cell(0, b"a", b"1")]),
            )
        )
        await store.commit(cap(0, (1, 0, 5)))
        clock.pass_ms(1_000_000_000)
        assert await store.trim(clock.now_ms()) == 1
        assert (await Look(store).cells(0, [b"a"]), await times(store)) == ({b"a": b"1"}, {1: 5})


class TestWaits:
    async def test_a_waiter_is_signalled_by_tenant_and_key_until_the_wait_ends_or_expires(self, store, clock):
        own, late = wait(subject=b"1"), wait(subject=b"2", ttl_ms=200)
        await store.commit(
            StageResult(plan_state=PlanState(waits=[late, own, wait(b"other key"), wait(tenant="other")]))
        )
        assert (await Look(store).waits("acme", b"k"), await Look(store).waits("acme", b"k", limit=1)) == (
            [own, late],
            [own],
        )
        clock.pass_ms(100)
        assert await Look(store).waits("acme", b"k") == [late]
        await store.commit(
            StageResult(
                plan_state=PlanState(ended_waits=[WaitEnd("acme", b"k", b"2"), WaitEnd("acme", b"k", b"gone already")])
            )
        )
        assert await Look(store).waits("acme", b"k") == []
        assert await Look(store).waits("other", b"k") == []

    async def test_the_same_wait_again_replaces_it(self, store):
        moved = wait(topic="accepted.bulk", partition=2, ttl_ms=500)
        await store.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        await store.commit(StageResult(plan_state=PlanState(waits=[moved])))
        assert await Look(store).waits("acme", b"k") == [moved]

    async def test_a_wait_ended_and_set_in_one_append_is_set(self, store):
        await store.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        await store.commit(
            StageResult(plan_state=PlanState(waits=[wait(ttl_ms=300)], ended_waits=[WaitEnd("acme", b"k", b"s")]))
        )
        assert await Look(store).waits("acme", b"k") == [wait(ttl_ms=300)]

    async def test_a_signal_reaches_each_stream_once(self, store, clock):
        await store.commit(
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
        own = [frame("accepted.high", 1, b"mine")]
        signalled = PlanState(signals=[Signal("acme", b"k", b"now")])
        assert (await store.commit(StageResult(frames=own, plan_state=signalled))).offsets == [1]
        assert await payloads(store, "accepted.high", 1) == [b"mine", b"now"]
        assert await payloads(store, "accepted.high", 2) == await payloads(store, "accepted.bulk", 1) == [b"now"]
        assert await Look(store).head("accepted.high", 3) == 0
        assert len(await Look(store).waits("acme", b"k")) == 5
        assert [stored.count for stored in await Look(store).read("accepted.high", 2, 0)] == [1]

    async def test_a_signal_nobody_waits_for_is_no_error(self, store):
        assert (
            await store.commit(StageResult(plan_state=PlanState(signals=[Signal("acme", b"k", b"now")])))
        ).offsets == []

    async def test_a_signal_goes_to_those_who_waited_before_its_append(self, store):
        await store.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        await store.commit(
            StageResult(
                plan_state=PlanState(
                    waits=[wait(subject=b"new", partition=2)],
                    ended_waits=[WaitEnd("acme", b"k", b"s")],
                    signals=[Signal("acme", b"k", b"now")],
                )
            )
        )
        assert (await payloads(store, "accepted.high", 1), await Look(store).head("accepted.high", 2)) == (
            [b"now"],
            0,
        )

    async def test_signals_wake_who_watches_the_stream(self, store):
        await store.commit(StageResult(plan_state=PlanState(waits=[wait()])))
        watch = store.watch(["accepted.high"], [1])
        await store.commit(StageResult(plan_state=PlanState(signals=[Signal("acme", b"k", b"now")])))
        assert await watch.wait(10_000)

    async def test_expired_waits_are_trimmed(self, store, clock):
        await store.commit(
            StageResult(plan_state=PlanState(waits=[wait(subject=b"%d" % n, ttl_ms=n) for n in range(500)]))
        )
        clock.pass_ms(400)
        await store.trim(0)
        clock.wall_ms = START_MS - 1  # the clock goes back, but a deleted wait stays deleted
        assert len(await Look(store).waits("acme", b"k")) == 99


class TestCaps:
    async def test_times_are_kept_per_tenant_rule_and_block(self, store):
        await store.commit(
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
        assert (await times(store), await times(store, 7)) == ({0: 1, 63: 2**32 - 1}, {5: 3})
        assert (await times(store, rule=b"other rule"), await times(store, tenant="other")) == ({0: 4}, {0: 5})
        found = await Look(store).caps("acme", RULE, [0, 1, 7])
        assert {block: len(data) for block, data in found.items()} == {0: 256, 7: 256}
        assert await Look(store).caps("acme", RULE, []) == {}

    async def test_a_time_changed_since_it_was_read_refuses_the_append(self, store):
        await store.commit(cap(0, (3, 0, 10), (4, 0, 20)))
        with pytest.raises(StaleCaps):
            await store.commit(cap(0, (3, 10, 11), (4, 0, 21)))
        with pytest.raises(StaleCaps):
            await store.commit(cap(1, (0, 5, 6)))
        assert (await times(store), await times(store, 1)) == ({3: 10, 4: 20}, {})
        await store.commit(cap(0, (3, 10, 11), (4, 20, 0)))
        assert await times(store) == {3: 11}

    async def test_neighbours_in_a_block_do_not_disturb_each_other(self, store):
        await asyncio.gather(*(store.commit(cap(0, (slot, 0, slot + 1))) for slot in range(CAP_BLOCK_USERS)))
        assert await times(store) == {slot: slot + 1 for slot in range(CAP_BLOCK_USERS)}

    async def test_a_block_may_be_written_twice_in_one_append(self, store):
        twice = [CapWrite("acme", RULE, 0, ((0, 0, 1),)), CapWrite("acme", RULE, 0, ((0, 1, 2), (1, 0, 3)))]
        await store.commit(StageResult(plan_state=PlanState(caps=twice)))
        assert await times(store) == {0: 2, 1: 3}

    async def test_many_blocks_go_in_one_append(self, store):
        blocks = range(500)
        await store.commit(
            StageResult(
                plan_state=PlanState(caps=[CapWrite("acme", RULE, block, ((1, 0, block + 1),)) for block in blocks])
            )
        )
        assert set(await Look(store).caps("acme", RULE, blocks)) == set(blocks)
        assert await times(store, 499) == {1: 500}
