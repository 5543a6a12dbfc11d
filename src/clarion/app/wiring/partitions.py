"""The number of partitions of an installation's journal: a setting that the next start of the whole installation applies.

Every process refuses a journal with another number than the one set; the command that prepares an installation changes it
first, while nothing else runs. What is not recorded yet is recorded before, so that the rest of a delivery's history may go to
another partition.
"""

import asyncio
from typing import Final

from clarion.app.config.settings import Config
from clarion.domain.errors import OperatorError, UnknownFrame
from clarion.domain.limits_processes import REGROUP_RECORD_S_MAX
from clarion.journal.topics import GROUP_RECORD, OUTCOMES
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.plan.placement import Regrouping
from clarion.ports.clock import Clock
from clarion.ports.regroup import RegroupingStore
from clarion.ports.stage_store import StageStore
from clarion.ports.state import Ledger
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.record.worker import RecordWorker
from clarion.runtime.clock import SystemClock
from clarion.runtime.consumer import LeasedPartitions
from clarion.stores.sqlite.journal import SqliteJournal, partitions_in
from clarion.stores.sqlite.state import SqliteState

ROLE: Final = "partitions"
"""The role of the process that changes the number."""
_POLL_S: Final = 0.05


def change_in_files(config: Config) -> None:
    """Change the number of partitions of the journal in `data_dir`, whose schema is up to date, to the one set. Raises
    `OperatorError` while another process has the journal open."""
    stored = partitions_in(config.data_dir)
    if stored is not None and config.journal.partitions not in (0, stored):
        asyncio.run(_change_in_files(config))


async def _change_in_files(config: Config) -> None:
    clock, telemetry = SystemClock(), ProcessTelemetry(Metrics(config.run_dir / "metrics", ROLE))
    journal = SqliteJournal(config.data_dir, clock, config.journal.partitions)
    state = SqliteState(config.data_dir, telemetry)
    try:
        await change(journal, journal, state.ledger, config.journal.partitions, clock, telemetry)
    finally:
        await journal.close()
        state.close()


async def change(
    streams: Streams, store: RegroupingStore, ledger: Ledger, wanted: int, clock: Clock, telemetry: Telemetry
) -> None:
    """Record what is not recorded yet, then change the number of partitions. Raises `OperatorError` when another process is
    at work, or when something can be read by another build only; then nothing is changed."""
    before = store.partitions
    await store.check_alone()
    telemetry.log("info", "partitions_changing", before=before, after=wanted)
    try:
        recorded = await _record(streams, store, ledger, clock, telemetry)
        await store.regroup(Regrouping(before, wanted), recorded)
    except UnknownFrame as error:
        raise OperatorError(f"The number of partitions cannot change: {error}.") from error
    telemetry.log("info", "partitions_changed", before=before, after=wanted)


async def _record(
    streams: Streams, store: StageStore, ledger: Ledger, clock: Clock, telemetry: Telemetry
) -> dict[int, int]:
    """Record all outcomes and return the newest one of each partition. Raises `OperatorError` when that does not get on."""
    recorded, waiting = await _positions(streams, store, ledger)
    if not waiting:
        return recorded
    leases = LeasedPartitions(store, GROUP_RECORD, ROLE, clock)
    worker = RecordWorker(streams, store, ledger, leases, clock, telemetry, linger_ms=0)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(stop))
        try:
            moved_ms = clock.monotonic_ms()
            while waiting:
                await asyncio.sleep(_POLL_S)
                before = recorded
                recorded, waiting = await _positions(streams, store, ledger)
                moved_ms = clock.monotonic_ms() if recorded != before else moved_ms
                if clock.monotonic_ms() - moved_ms > REGROUP_RECORD_S_MAX * 1000:
                    break
        finally:
            stop.set()
    if waiting:
        raise OperatorError(
            f"The number of partitions cannot change: partition {waiting[0]} is not recorded to its end. Start with"
            f" {store.partitions} partitions; the log says why."
        )
    return recorded


async def _positions(streams: Streams, store: StageStore, ledger: Ledger) -> tuple[dict[int, int], list[int]]:
    """Return the recorded positions, and the partitions that are not recorded to their end."""
    heads = await streams.heads_of([(OUTCOMES, partition) for partition in range(store.partitions)])
    stored = await ledger.positions()
    recorded = {partition: position.offset for partition, position in stored.items()}
    return recorded, [partition for (_, partition), head in heads.items() if head > recorded.get(partition, 0)]
