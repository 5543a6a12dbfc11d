"""Under load a batch of record makes at most two sequential round trips to its stores, counted as `make bench CASE=rtt`
does."""

import asyncio

from clarion.domain import ids
from clarion.domain.delivery_state import Event
from clarion.journal import events
from clarion.journal.codec import encode
from clarion.journal.topics import GROUP_RECORD, OUTCOMES
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.record.worker import RecordWorker
from clarion.runtime.consumer import LeasedPartitions
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.state import MemoryState
from clarion_lab.bench.round_trips import GOALS, stages
from clarion_lab.load.delays import Delayed, Delays, Waits
from tests.contract import ledgers as world
from tests.contract.crash_writer import MachineClock

PARTITIONS = 2
BATCHES = 12


async def test_a_batch_under_load_waits_at_most_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("clarion.record.worker_upkeep.RECORD_COMMIT_MS", 1)
    clock = MachineClock()
    journal = MemoryJournal(clock, PARTITIONS)
    waits = Waits(Delays(1.0, str(tmp_path)), "worker-0")
    near, far = MemoryState(), Delayed(journal, "store", waits)
    leases = LeasedPartitions(journal, GROUP_RECORD, "worker-0", clock)
    state = Delayed(near.ledger, "state", waits)
    record = RecordWorker(far, far, state, leases, clock, ProcessTelemetry(Metrics()), linger_ms=10)
    stop = asyncio.Event()
    running = asyncio.create_task(record.run(stop))
    await folded(journal, record, 0)
    before = waits.counts()
    for number in range(1, BATCHES):
        await folded(journal, record, number)
    found = stages([before], [waits.counts()])["record"]
    stop.set()
    await running
    assert found.commits >= BATCHES - 1
    assert found.round_trips is not None
    # The read after a batch, which finds nothing, may be under way when counting begins and when it ends.
    assert found.round_trips * found.commits <= GOALS["record"] * found.commits + 2
    assert "Upkeep.run" in found.beside or "Upkeep.report_position" in found.beside, (
        "positions were reported to the journal concurrently with the batches"
    )
    assert len(near.tables.deliveries) == BATCHES * PARTITIONS


async def folded(journal: MemoryJournal, record: RecordWorker, number: int) -> None:
    """Append the events of one more delivery per partition, and wait until they are folded."""
    for kind in (planned, intent, attempted):
        before = record.folded
        frames = [Frame(OUTCOMES, p, 1, encode(kind(number * PARTITIONS + p), 1)) for p in range(PARTITIONS)]
        await journal.commit(StageResult(frames=frames))
        async with asyncio.timeout(5):
            while record.folded < before + PARTITIONS:  # noqa: ASYNC110 - the worker says nothing when it is done
                await asyncio.sleep(0.0005)


def names(number: int) -> tuple[bytes, bytes]:
    notification = ids.notification_id(world.AT_MS + number, 0, number.to_bytes(9, "big"))
    return notification, ids.delivery_id(notification, "user-0", "push", "token-0")


def planned(number: int) -> events.PlannedFrame:
    frame = world.planned(0)
    frame.notification_ids[:], frame.delivery_ids[:] = ([id_] for id_ in names(number))
    return frame


def intent(number: int) -> events.IntentFrame:
    frame = world.intent(0)
    frame.delivery_ids[:] = [names(number)[1]]
    return frame


def attempted(number: int) -> events.AttemptedFrame:
    frame = world.attempted(0, Event.ACCEPTED)
    frame.delivery_ids[:] = [names(number)[1]]
    return frame
