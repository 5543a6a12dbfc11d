"""The record worker over every state store: folds what comes, tells the journal, and gives way to a newer holder."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarion.backends.memory.journal import MemoryJournal
from clarion.domain.delivery_state import Event, State
from clarion.journal.codec import encode
from clarion.journal.consumer import LeasedPartitions
from clarion.journal.topics import GROUP_RECORD, OUTCOMES
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.ports.stage_store import Position, StageResult
from clarion.ports.streams import Frame
from clarion.record.worker import RecordWorker
from tests.contract import ledgers as world
from tests.contract.crash_writer import MachineClock
from tests.contract.journals import PARTITIONS
from tests.contract.states import STATES
from tests.look import Look


@pytest.fixture
def machine():
    return MachineClock()


@pytest.fixture
def journal(machine):
    return MemoryJournal(machine, PARTITIONS)


@pytest.fixture(params=STATES)
def state(request, tmp_path, machine):
    opened = STATES[request.param](tmp_path, machine)
    yield opened
    opened.close()


def worker(journal, state, machine, owner="worker-0") -> tuple[RecordWorker, LeasedPartitions]:
    leases = LeasedPartitions(journal, GROUP_RECORD, owner, machine)
    return RecordWorker(journal, journal, state, leases, machine, ProcessTelemetry(Metrics()), linger_ms=50), leases


async def put(journal, *events, partition: int = 0) -> None:
    await journal.commit(StageResult(frames=[Frame(OUTCOMES, partition, 1, encode(event, 1)) for event in events]))


async def test_it_folds_commits_and_stops_when_told(journal, state, machine):
    await put(journal, world.planned(0), world.intent(0))
    await put(journal, world.planned(1), partition=3)
    record, _ = worker(journal, state, machine)
    stop = asyncio.Event()
    running = asyncio.create_task(record.run(stop))
    watch = journal.watch()
    while record.folded < 3:
        await watch.wait(20)
    await put(journal, world.attempted(0, Event.ACCEPTED))
    while record.folded < 4:
        await watch.wait(20)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert await state.states(world.SINGLE_IDS) == {
        world.SINGLE_IDS[0]: (State.SENT, 1),
        world.SINGLE_IDS[1]: (State.PLANNED, 0),
    }
    assert (await Look(journal).committed(GROUP_RECORD, 0))[OUTCOMES].offset == 3
    assert (await Look(journal).committed(GROUP_RECORD, 3))[OUTCOMES].offset == 1
    assert await journal.acquire(GROUP_RECORD, 0, "next", 1_000) is not None


async def test_a_holder_whose_fence_is_stale_folds_nothing_twice(journal, state, machine):
    await put(journal, world.planned(0), world.attempted(0, Event.RETRY))
    old, old_leases = worker(journal, state, machine)
    new, new_leases = worker(journal, state, machine)
    with ThreadPoolExecutor(1) as thread:
        await old_leases.step()
        assert await old.step(thread)
        await new_leases.step()  # the same owner, started again: higher fences
        await put(journal, world.attempted(0, Event.ACCEPTED, 2))
        assert await new.step(thread)
        await put(journal, world.replayed(0))
        await old.step(thread)
        assert old.folded == 2
        assert await new.step(thread)
    assert (new.folded, (await state.positions())[0].offset) == (2, 4)
    assert len(await state.attempts_of(world.TENANT, world.SINGLE_IDS[:1])) == 1


async def test_a_damaged_frame_is_skipped_and_told(journal, state, machine, capsys):
    good = encode(world.planned(0), 1)
    frames = [Frame(OUTCOMES, 0, 1, good[:-1] + b"?"), Frame(OUTCOMES, 0, 1, good)]
    await journal.commit(StageResult(frames=frames))
    record, leases = worker(journal, state, machine)
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        assert await record.step(thread)
    assert await state.positions() == {0: Position(2)}
    assert world.SINGLE_IDS[0] in await state.states(world.SINGLE_IDS)
    assert "frame_quarantined" in capsys.readouterr().out


async def test_a_frame_of_a_newer_build_stops_its_partition_and_no_other(journal, state, machine, capsys):
    newer = world.of_newer_build(encode(world.planned(1), 1))
    frames = [Frame(OUTCOMES, 0, 1, encode(world.planned(0), 1)), Frame(OUTCOMES, 0, 1, newer)]
    await journal.commit(StageResult(frames=frames))
    record, leases = worker(journal, state, machine)
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        assert await record.step(thread)
        await put(journal, world.planned(2))
        await put(journal, world.planned(3), partition=3)
        assert await record.step(thread)
        assert not await record.step(thread)
    assert await state.positions() == {0: Position(1), 3: Position(1)}
    assert record.folded == 2
    said = capsys.readouterr().out
    assert said.count("record_stopped") == 1
    assert "frame 2: the frame is whole but of version 2" in said


async def test_the_rows_of_a_large_batch_are_read_once_and_written_once(journal, state, machine, monkeypatch):
    intents = [world.intent(n) for n in range(world.SINGLES) for _ in range(20)]
    await put(journal, *(world.planned(n) for n in range(world.SINGLES)), *intents)
    await put(journal, world.planned(0), world.intent(0), partition=3)
    calls = []
    for name in ("load", "apply"):
        real = getattr(state, name)
        monkeypatch.setattr(state, name, lambda *args, _real=real, _name=name: calls.append(_name) or _real(*args))
    record, leases = worker(journal, state, machine)
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        assert await record.step(thread)
    assert calls == ["load", "apply"]


async def test_frames_that_a_carrier_repeats_are_folded_once(state, machine):
    carrier = MemoryJournal(machine, PARTITIONS, repeats=2)
    first, leases = worker(carrier, state, machine)
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        for event in (
            world.planned(0),
            world.intent(0),
            world.receipt(0, "opened"),
            world.attempted(0, Event.ACCEPTED),
        ):
            await put(carrier, event)
            while await first.step(thread):
                pass
        heads = await carrier.heads_of([(OUTCOMES, 0)])
        assert heads[OUTCOMES, 0] > 4, "nothing was repeated"
        counted = await state.counters(world.TENANT, 0, world.AT_MS * 2, 100)
        assert (await state.positions())[0].offset == heads[OUTCOMES, 0]
    assert first.folded == 4
    assert [count for *_, count in counted] == [1] * len(counted)
