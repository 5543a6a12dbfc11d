"""A stage store open in two processes, and one opened again: one lease holder, one response per key, one number of
partitions."""

import asyncio

import pytest

from clarion.domain.errors import StaleLease
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait
from clarion.ports.stage_store import (
    AcceptState,
    Commit,
    Committed,
    GroupProgress,
    IdempotencyEntry,
    PlanState,
    StageResult,
    StaleCaps,
    StaleKey,
)
from tests.contract.backends import SHARED
from tests.contract.journals import (
    PARTITIONS,
    START_MS,
    TTL_MS,
    Journal,
    frame,
    held,
    offsets,
    timer,
)
from tests.look import Look

PORT = "stage store"


pytestmark = pytest.mark.needs_trait(SHARED)


@pytest.fixture
def pair(open_store):
    return open_store(), open_store()


async def test_a_timer_fires_once_however_many_fire(pair):
    timers = [timer(b"%d" % n, n % 7, partition=n % PARTITIONS) for n in range(300)]
    await pair[0].commit(StageResult(timers=timers))
    fired = await asyncio.gather(*(pair[n % 2].fire(100, 20) for n in range(40)))
    assert sum(fired) == 300
    found = [f.payload for p in range(PARTITIONS) for f in await Look(pair[1]).read("t", p, 0, 1_000)]
    assert sorted(found) == sorted(one.payload for one in timers)


async def test_of_those_who_take_the_last_room_of_a_cap_one_gets_it(pair):
    write = CapWrite("acme", b"rule", 5, ((7, 0, 100),))
    batches = [
        StageResult(frames=[frame()], plan_state=PlanState(caps=[write], cells=[Cell(0, b"n", b"%d" % n)]))
        for n in range(20)
    ]
    result = await asyncio.gather(
        *(pair[n % 2].commit(batch) for n, batch in enumerate(batches)), return_exceptions=True
    )
    assert sum(isinstance(answer, StaleCaps) for answer in result) == 19
    (won,) = (n for n, answer in enumerate(result) if answer == Committed([1]))
    assert (await offsets(pair[0]), await Look(pair[1]).cells(0, [b"n"])) == ([1], {b"n": b"%d" % won})


async def test_who_reads_again_after_a_refusal_loses_no_count(pair):
    async def count(store: Journal) -> int:
        refused = 0
        while True:
            block = (await Look(store).caps("acme", b"rule", [0])).get(0, bytes(4))
            read_s = int.from_bytes(block[:4], "little")
            try:
                await store.commit(
                    StageResult(plan_state=PlanState(caps=[CapWrite("acme", b"rule", 0, ((0, read_s, read_s + 1),))]))
                )
            except StaleCaps:
                refused += 1
            else:
                return refused

    refused = [await asyncio.gather(*(count(store) for store in pair * 4)) for _ in range(5)]
    assert int.from_bytes((await Look(pair[0]).caps("acme", b"rule", [0]))[0][:4], "little") == 40
    assert sum(map(sum, refused)) > 0


async def test_of_those_who_answer_a_key_one_is_stored(pair):
    entries = [IdempotencyEntry("acme", "key", b"hash", b"%d" % n, START_MS + 1) for n in range(20)]
    result = await asyncio.gather(
        *(
            pair[n % 2].commit(StageResult(frames=[frame()], accept_state=AcceptState(idempotency=[entry])))
            for n, entry in enumerate(entries)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, StaleKey) for answer in result) == 19
    (won,) = (n for n, answer in enumerate(result) if answer == Committed([1]))
    assert await Look(pair[1]).idempotency("acme", "key", START_MS) == entries[won]


async def test_a_signal_of_one_process_reaches_who_waits_in_the_other(pair):
    one, two = pair
    await one.commit(StageResult(plan_state=PlanState(waits=[Wait("acme", b"k", b"s", "t", 2, START_MS + 1)])))
    watch = one.watch(["t"], [2])
    await two.commit(StageResult(plan_state=PlanState(signals=[Signal("acme", b"k", b"now")])))
    assert await watch.wait(10_000)
    assert [stored.payload for stored in await Look(one).read("t", 2, 0)] == [b"now"]


async def test_a_lease_taken_over_in_one_process_is_stale_in_the_other(pair, clock):
    one, two = pair
    zombie = await held(one, owner="one")
    assert await two.acquire("g", 0, "two", TTL_MS) is None
    clock.pass_ms(TTL_MS)
    heir = await held(two, owner="two")
    with pytest.raises(StaleLease):
        await one.commit(StageResult(frames=[frame()], progress=GroupProgress(commits=[Commit(zombie, "t", 1)])))
    assert (
        await two.commit(StageResult(frames=[frame()], progress=GroupProgress(commits=[Commit(heir, "t", 1)])))
    ).offsets == [1]


async def test_of_many_who_reach_for_a_lease_one_gets_it(pair):
    leases = await asyncio.gather(*(pair[n % 2].acquire("g", 0, f"owner {n}", TTL_MS) for n in range(20)))
    assert len([lease for lease in leases if lease is not None]) == 1


async def test_a_lease_from_before_a_reboot_is_free(pair, clock):
    await held(pair[0], owner="one")
    clock.machine_ms += 10_000_000
    await held(pair[0], owner="one")
    clock.machine_ms = 5_000  # the machine's clock starts again
    assert (await held(pair[1], owner="two")).fence == 3
