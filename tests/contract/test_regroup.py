"""Another number of partitions: whatever waits is in its place afterwards, and nothing is there twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clarion.domain.errors import OperatorError, UnknownFrame
from clarion.plan.placement import Regrouping
from clarion.ports.stage_store import StageResult
from tests.contract.backends import SURVIVES
from tests.contract.journals import TTL_MS, frame, held
from tests.contract.waiting import ACCEPTED, check, check_timers, fill

PORT = "stage store"
KILLS = 6


def kill_while_it_changes(command: list[str | Path], after_s: float) -> None:
    """Start the child, and kill it some time after it began."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert os.read(child.stdout.fileno(), 1) == b"\n"
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)


async def regroup(store, after: int) -> None:
    await store.regroup(Regrouping(store.partitions, after), {})


@pytest.mark.parametrize("counts", [(8,), (2,), (8, 2), (64, 1), (8, 4), (2, 16, 4)])
async def test_whatever_waits_is_in_its_place(store, counts):
    await fill(store)
    await check(store, 4)
    for count in counts:
        await regroup(store, count)
        await check(store, count)
    await check_timers(store, counts[-1])


async def test_small_reads_move_everything_too(store, bound):
    bound("REGROUP_ROWS_PER_READ_MAX", 3)
    await fill(store)
    await regroup(store, 8)
    await check(store, 8)
    await check_timers(store, 8)


async def test_a_number_that_divides_no_slots_can_be_left(open_store):
    """A journal of older builds may have three partitions, and its users and ids three slots."""
    store = open_store(3)
    await fill(store)
    await regroup(store, 4)
    await check(store, 4)
    await check_timers(store, 4)


async def test_a_held_lease_refuses_the_change_in_one_sentence(store, clock):
    await fill(store)
    lease = await held(store, "plan", 3, "worker-1")
    with pytest.raises(OperatorError, match="worker-1 works: stop every process"):
        await regroup(store, 8)
    await store.release([lease])
    await check(store, 4)
    await store.acquire("plan", 3, "worker-1", TTL_MS)
    clock.pass_ms(TTL_MS + 1)
    await regroup(store, 8)
    await check(store, 8)


async def test_a_number_that_changed_meanwhile_is_refused(store):
    await fill(store)
    with pytest.raises(OperatorError, match="4 partitions now, not 2"):
        await store.regroup(Regrouping(2, 8), {})
    await check(store, 4)


async def test_what_is_not_recorded_is_waited_for(store):
    await store.commit(StageResult(frames=[frame("outcomes", 3), frame("outcomes", 3)]))
    with pytest.raises(OperatorError, match="before everything is recorded"):
        await store.regroup(Regrouping(4, 8), {3: 1})
    await store.regroup(Regrouping(4, 8), {3: 2})
    assert store.partitions == 8


async def test_a_frame_of_another_build_changes_nothing(store):
    await fill(store)

    class Unreadable(Regrouping):
        def frames(self, frame):
            raise UnknownFrame("a frame of another build")

    with pytest.raises(UnknownFrame):
        await store.regroup(Unreadable(4, 8), {})
    await check(store, 4)


async def test_a_damaged_frame_moves_whole(store):
    await store.commit(StageResult(frames=[frame(ACCEPTED, 3, b"damaged")]))
    await regroup(store, 2)
    assert [stored.payload for stored in (await store.read_many([(ACCEPTED, 1, 0)]))[0]] == [b"damaged"]


@pytest.mark.needs_trait(SURVIVES)
async def test_the_next_start_finds_the_new_number(open_store):
    store = open_store()
    await fill(store)
    await regroup(store, 8)
    await store.close()
    again = open_store(4)
    await check(again, 8)
    await check_timers(again, 8)


@pytest.mark.slow
@pytest.mark.needs_trait(SURVIVES)
async def test_kill_9_leaves_the_number_before_or_the_new_one(backend, open_store, tmp_path):
    first = open_store()
    await fill(first)
    await first.close()
    chance = random.Random(7)
    script = Path(__file__).with_name("crash_regroup.py")
    for _ in range(KILLS):
        kill_while_it_changes([sys.executable, script, backend, tmp_path], chance.random() * 0.15)
        store = open_store()
        assert store.partitions in (4, 8)
        await check(store, store.partitions)
        await store.close()
    last = open_store()
    await check_timers(last, last.partitions)
