"""The record worker over every state store: it folds events, commits to the journal, and yields to a newer lease holder."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from clarion.domain.delivery_state import Event, State
from clarion.journal.codec import encode
from clarion.journal.topics import GROUP_RECORD, OUTCOMES
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.ports.stage_store import Position, StageResult
from clarion.ports.streams import Frame
from clarion.record.worker import RecordWorker
from clarion.runtime.consumer import LeasedPartitions
from clarion.runtime.onlookers import Onlookers
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.presence import MemoryPresence
from tests.contract import ledgers as world
from tests.contract.crash_writer import MachineClock
from tests.contract.journals import PARTITIONS
from tests.look import Look


@pytest.fixture
def machine():
    return MachineClock()


@pytest.fixture
def journal(machine):
    return MemoryJournal(machine, PARTITIONS)


def worker(journal, state, machine, owner="worker-0") -> tuple[RecordWorker, LeasedPartitions]:
    leases = LeasedPartitions(journal, GROUP_RECORD, owner, machine)
    return RecordWorker(
        journal, journal, state.ledger, leases, machine, ProcessTelemetry(Metrics()), linger_ms=50
    ), leases


async def put(journal, *events, partition: int = 0) -> None:
    await journal.commit(StageResult(frames=[Frame(OUTCOMES, partition, 1, encode(event, 1)) for event in events]))


async def test_it_folds_commits_and_stops_on_request(journal, state, machine):
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
    assert await state.ledger.states(world.SINGLE_IDS) == {
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
    assert (new.folded, (await state.ledger.positions())[0].offset) == (2, 4)
    assert len(await state.history.attempts_of(world.TENANT, world.SINGLE_IDS[:1])) == 1


async def test_a_damaged_frame_is_skipped_and_logged(journal, state, machine):
    good = encode(world.planned(0), 1)
    frames = [Frame(OUTCOMES, 0, 1, good[:-1] + b"?"), Frame(OUTCOMES, 0, 1, good)]
    await journal.commit(StageResult(frames=frames))
    record, leases = worker(journal, state, machine)
    await leases.step()
    with capture_logs() as logged, ThreadPoolExecutor(1) as thread:
        assert await record.step(thread)
    assert await state.ledger.positions() == {0: Position(2)}
    assert world.SINGLE_IDS[0] in await state.ledger.states(world.SINGLE_IDS)
    assert "frame_quarantined" in [line["event"] for line in logged]


async def test_a_frame_of_a_newer_build_stops_its_partition_and_no_other(journal, state, machine):
    newer = world.of_newer_build(encode(world.planned(1), 1))
    frames = [Frame(OUTCOMES, 0, 1, encode(world.planned(0), 1)), Frame(OUTCOMES, 0, 1, newer)]
    await journal.commit(StageResult(frames=frames))
    record, leases = worker(journal, state, machine)
    await leases.step()
    with capture_logs() as logged, ThreadPoolExecutor(1) as thread:
        assert await record.step(thread)
        await put(journal, world.planned(2))
        await put(journal, world.planned(3), partition=3)
        assert await record.step(thread)
        assert not await record.step(thread)
    assert await state.ledger.positions() == {0: Position(1), 3: Position(1)}
    assert record.folded == 2
    (stopped,) = [line for line in logged if line["event"] == "record_stopped"]
    assert "frame 2: the frame is whole but of version 2" in str(stopped)


async def test_the_rows_of_a_large_batch_are_read_once_and_written_once(journal, state, machine, monkeypatch):
    intents = [world.intent(n) for n in range(world.SINGLES) for _ in range(20)]
    await put(journal, *(world.planned(n) for n in range(world.SINGLES)), *intents)
    await put(journal, world.receipt(0, "opened"), world.receipt(world.SINGLES, "bounced"), partition=3)
    calls = []
    for name in ("load", "apply"):
        real = getattr(state.ledger, name)
        monkeypatch.setattr(
            state.ledger, name, lambda *args, _real=real, _name=name: calls.append(_name) or _real(*args)
        )
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
        assert heads[OUTCOMES, 0] > 4, "the carrier repeated nothing"
        counted = await state.history.counters(world.TENANT, 0, world.AT_MS * 2, 100)
        assert (await state.ledger.positions())[0].offset == heads[OUTCOMES, 0]
    assert first.folded == 4
    assert [count for *_, count in counted] == [1] * len(counted)


async def test_what_is_planned_again_after_the_row_is_forgotten_folds_once(journal, state, machine, monkeypatch):
    held = world.planned(0, reason=6)
    held.held_ms.append(world.AT_MS + 500)
    await put(journal, held, world.planned(1))
    first, leases = worker(journal, state, machine)
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        assert await first.step(thread)
        calls = count_calls(state.ledger, monkeypatch, "load", "apply")
        second, leases = worker(journal, state, machine)
        await leases.step()
        await put(
            journal, world.planned(0, at_ms=world.AT_MS + 500), world.planned(1), world.intent(1), world.planned(2)
        )
        assert await second.step(thread)
        assert calls == ["apply", "load", "apply"]
        await put(journal, world.planned(3))
        assert await second.step(thread)
        assert calls[3:] == ["load", "apply"], "after a conflict, it loads rows before each batch"
    assert (first.folded, second.folded) == (2, 5)
    assert await state.ledger.states(world.SINGLE_IDS) == {
        world.SINGLE_IDS[0]: (State.PLANNED, 0),
        world.SINGLE_IDS[1]: (State.SENDING, 1),
        world.SINGLE_IDS[2]: (State.PLANNED, 0),
        world.SINGLE_IDS[3]: (State.PLANNED, 0),
    }
    counted = await state.history.counters(world.TENANT, 0, world.AT_MS * 2, 100)
    assert sorted((row[2], row[-1]) for row in counted) == [("held", 1), ("planned", 3), ("released", 1)]


async def test_the_open_chunks_of_a_broadcast_stay_cached_until_all_of_it_ended(journal, state, machine, monkeypatch):
    record, leases = worker(journal, state, machine)
    calls = count_calls(state.ledger, monkeypatch, "load", "apply")
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        for event in (
            world.chunk(),
            world.chunk_intent(0, world.CHUNK_SIZE),
            world.chunk_attempted(0, bytes([State.SENT]) * world.CHUNK_SIZE),
        ):
            await put(journal, event)
            assert await record.step(thread)
        assert calls == ["apply"] * 3
        await put(journal, world.receipt(world.SINGLES, "bounced"))
        assert await record.step(thread)
    assert calls[3:] == ["load", "apply"]
    assert await state.ledger.states(world.CHUNK_IDS) == {world.CHUNK_IDS[0]: (State.FAILED, 1)}


async def test_the_next_batch_is_read_while_a_full_one_is_folded(journal, state, machine, monkeypatch):
    monkeypatch.setattr("clarion.record.worker.RECORD_BATCH_EVENTS_MAX", 2)
    await put(journal, *(world.planned(n) for n in range(3)))
    record, leases = worker(journal, state, machine)
    calls = count_calls(journal, monkeypatch, "read_many")
    applied = count_calls(state.ledger, monkeypatch, "apply", calls=calls)
    await leases.step()
    with ThreadPoolExecutor(1) as thread:
        assert await record.step(thread)
        assert applied == ["read_many", "apply", "read_many"]
        await put(journal, world.planned(3))
        assert await record.step(thread)
        while await record.step(thread):
            pass
    assert record.folded == 4
    assert await state.ledger.positions() == {0: Position(4)}


async def test_frames_read_ahead_are_dropped_when_the_lease_was_lost(journal, state, machine, monkeypatch):
    monkeypatch.setattr("clarion.record.worker.RECORD_BATCH_EVENTS_MAX", 2)
    await put(journal, *(world.planned(n) for n in range(4)))
    old, old_leases = worker(journal, state, machine)
    new, new_leases = worker(journal, state, machine)
    with ThreadPoolExecutor(1) as thread:
        await old_leases.step()
        assert await old.step(thread)
        await new_leases.step()
        assert await new.step(thread)
        await old.step(thread)
        assert old.folded == 2
        await old_leases.step()  # acquires again the leases that the newer one leaves free
        await put(journal, world.intent(0))
        while await new.step(thread):
            pass
        await old.step(thread)
    assert (old.folded, new.folded) == (2, 3)
    assert await state.ledger.positions() == {0: Position(5)}


async def test_no_batch_waits_for_the_commit_to_the_journal(journal, state, machine, monkeypatch):
    record, leases = worker(journal, state, machine)
    await leases.step()
    commit, let = journal.commit, asyncio.Event()

    async def late(result):
        await let.wait()
        return await commit(result)

    with ThreadPoolExecutor(1) as thread:
        await put(journal, world.planned(0))
        assert await record.step(thread)
        await put(journal, world.planned(1))
        monkeypatch.setattr(journal, "commit", late)
        assert await record.step(thread)
        monkeypatch.setattr(journal, "commit", commit)
        await put(journal, world.planned(2))
        monkeypatch.setattr(journal, "commit", late)
        assert await record.step(thread)
        let.set()
        assert not await record.step(thread)
    assert record.folded == 3
    assert (await Look(journal).committed(GROUP_RECORD, 0))[OUTCOMES].offset in (1, 2, 3)


def count_calls(port, monkeypatch, *names, calls=None) -> list[str]:
    """Record the calls of methods of a port; the methods still run."""
    calls = [] if calls is None else calls
    for name in names:
        real = getattr(port, name)
        monkeypatch.setattr(port, name, lambda *args, _real=real, _name=name: calls.append(_name) or _real(*args))
    return calls


async def test_it_does_not_wait_for_more_while_a_user_is_looking(journal, state, machine):
    leases = LeasedPartitions(journal, GROUP_RECORD, "worker-0", machine)
    onlookers = Onlookers(MemoryPresence(machine), machine)
    record = RecordWorker(
        journal,
        journal,
        state.ledger,
        leases,
        machine,
        ProcessTelemetry(Metrics()),
        linger_ms=600_000,
        onlookers=onlookers,
    )
    watch = journal.watch()
    stop = asyncio.Event()
    running = asyncio.create_task(record.run(stop))
    for number in range(2):
        await put(journal, world.planned(number))
        async with asyncio.timeout(10):
            while record.folded <= number:
                onlookers.hurry()  # one that comes before the frame has nothing to hurry
                await watch.wait(20)
    stop.set()
    onlookers.hurry()
    await asyncio.wait_for(running, 5)
