"""The record worker: reads `outcomes` of the partitions it leases, folds and stores them batch by batch.

Each step is three moves: gather the rows that a batch touches, decide by folding, commit. Positions are in the state
store, in the transaction of the fold, so every frame is folded exactly once. They are reported to the journal
concurrently with the folding, only so that it can delete frames. Reads and writes of the store, and the folding of
large batches, run on a thread of their own: the loop never waits for a disk.

Under load a batch waits for the store twice, one read and one commit: it lingers before it reads, planned rows are
assumed to be new, and open rows are cached. Where more is waiting than one batch takes, the next one is read while this
one is folded.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from clarion.domain.errors import AlreadyStored, OutcomeUnknown, Overloaded, StaleLease
from clarion.domain.history import Changes
from clarion.domain.limits_gateway import HURRY_MS_MIN
from clarion.domain.limits_processes import RECORD_BATCH_EVENTS_MAX
from clarion.journal.topics import OUTCOMES
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Lease, Position, StageStore
from clarion.ports.state import Advance, Ledger
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.record.columns import decide
from clarion.record.frames import Decoded, decoded, touched
from clarion.record.gather import OpenRows, gather
from clarion.record.worker_frames import Batch, FramesAhead
from clarion.record.worker_upkeep import Upkeep
from clarion.runtime.consumer import LeasedPartitions, LeasedWatch
from clarion.runtime.onlookers import Onlookers
from clarion.runtime.store_wait import UNANSWERED, StoreWait
from clarion.runtime.watch import woken_by

T = TypeVar("T")

_STALE_PAUSE_S: Final = 0.1
_HERE_EVENTS_MAX: Final = 500
"""Events that are folded on the loop itself, in a few milliseconds: switching to the thread would add to their cost."""


class RecordWorker:
    """Folds the partitions that `leases` (of group `record`) holds until stopped. `folded` counts events."""

    def __init__(
        self,
        streams: Streams,
        store: StageStore,
        state: Ledger,
        leases: LeasedPartitions,
        clock: Clock,
        telemetry: Telemetry,
        *,
        linger_ms: int,
        onlookers: Onlookers | None = None,
    ) -> None:
        self._streams = streams
        self._upkeep = Upkeep(store, state, clock, telemetry)
        self._frames = FramesAhead(streams)
        self._state = state
        self._rows = OpenRows()
        self._leases = leases
        self._clock = clock
        self._telemetry = telemetry
        self._linger_ms = linger_ms
        self._onlookers = onlookers
        self._offsets: dict[Lease, int] = {}
        self._numbers: dict[Lease, Mapping[str, int]] = {}
        self._stopped: set[Lease] = set()
        self._turn = 0
        self._began_ms = clock.monotonic_ms() - linger_ms
        self.folded = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set; the batch under way is finished and committed. Raises `DurabilityError`."""
        release = asyncio.Event()
        watch = LeasedWatch(self._streams, [OUTCOMES], self._leases)
        waits = StoreWait(self._telemetry, "record")
        with suppress(Overloaded):  # the task does it again
            await self._leases.step()
        leasing = asyncio.create_task(self._leases.run(release))
        try:
            leasing.add_done_callback(lambda _: watch.wake())
            with ThreadPoolExecutor(1, thread_name_prefix="record") as thread:
                async with woken_by(stop, watch.wake):
                    while not stop.is_set() and not leasing.done():
                        watch.follow()
                        try:
                            recorded = await self.step(thread, linger=watch.is_woken)
                        except (*UNANSWERED, OutcomeUnknown) as error:
                            self._forget()
                            await waits.pause(error, stop)
                            continue
                        waits.answered()
                        if not recorded:
                            await self._news(watch, stop)
            await self._upkeep.finish()
            await self._upkeep.run(self._offsets, prune=False)
        finally:
            release.set()
            try:
                await leasing
            finally:
                await self._upkeep.finish()

    async def _news(self, watch: LeasedWatch, stop: asyncio.Event) -> None:
        """Wait until there is something to record, then linger for more: an attempt is soon followed by its result."""
        if await watch.wait(self._upkeep.due_ms(self._offsets)) and not stop.is_set():
            await self._linger(self._linger_ms)

    async def _linger(self, linger_ms: int) -> None:
        """Wait for a fuller batch, unless a user is looking."""
        if self._onlookers is None:
            await asyncio.sleep(linger_ms / 1000)
        else:
            await self._onlookers.pause(linger_ms, self._began_ms + HURRY_MS_MIN - self._clock.monotonic_ms())

    async def step(self, thread: Executor | None, *, linger: bool = True) -> bool:
        """Fold one batch; return whether there was one. Large batches are folded on `thread`, or on the loop's default
        executor where it is None."""
        leases = list(self._leases.held().values())
        await self._find_positions(leases)
        self._upkeep.begin(self._offsets)
        linger_ms = self._began_ms + self._linger_ms - self._clock.monotonic_ms()
        if linger and linger_ms > 0 and self._frames.events(self._offsets) < RECORD_BATCH_EVENTS_MAX:
            # The last batch has only just begun, so there is load: wait for a fuller one before the one read.
            await self._linger(linger_ms)
        batch = await self._read(leases)
        if not batch:
            await self._upkeep.finish()
            return False
        self._began_ms = self._clock.monotonic_ms()
        try:
            await self._record_and_read_on(thread, batch)
        except StaleLease as stale:
            self._telemetry.log("warning", "record_lease_lost", detail=str(stale))
            self._forget()
            await asyncio.sleep(_STALE_PAUSE_S)
        return True

    def _forget(self) -> None:
        """Drop what is in memory, so that positions and rows are read again."""
        self._offsets.clear()
        self._numbers.clear()
        self._frames.forget()
        self._rows.forget()

    async def _record_and_read_on(self, thread: Executor | None, batch: Batch) -> None:
        """Record a batch. When it is full there is more: the next one is read concurrently."""
        if _events(batch) < RECORD_BATCH_EVENTS_MAX:
            await self._record(thread, batch)
            return
        reading = asyncio.create_task(self._frames.read_on(batch, RECORD_BATCH_EVENTS_MAX))
        try:
            await self._record(thread, batch)
        except BaseException:
            await asyncio.gather(reading, return_exceptions=True)  # the first error is raised
            raise
        await reading

    async def _record(self, thread: Executor | None, batch: Batch) -> None:
        """Gather, decide, commit; once more, after a read of all rows, when a row assumed to be new existed. Raises the
        errors of the ledger."""
        with self._telemetry.cpu("record"):
            parts = [decoded(frames, self._numbers[lease]) for lease, frames in batch]
            frames = [frame for part in parts for frame in part.events]
            keys = touched(frames)
        self._log_unreadable(batch, parts)
        small = _events(batch) <= _HERE_EVENTS_MAX
        try:
            facts = await gather(self._state, self._rows, keys)
            await self._commit(await self._compute(thread, small, lambda: decide(frames, facts)), batch, parts)
        except AlreadyStored:
            self._rows.distrust_new()
            facts = await gather(self._state, self._rows, keys)
            await self._commit(await self._compute(thread, small, lambda: decide(frames, facts)), batch, parts)

    async def _commit(self, changes: Changes, batch: Batch, parts: Sequence[Decoded]) -> None:
        pairs = [(lease, part) for (lease, _), part in zip(batch, parts, strict=True)]
        reached = {lease: part.offset for lease, part in pairs if part.offset is not None}
        if not reached:
            return
        numbers = {lease: part.numbers for lease, part in pairs}
        advances = [
            Advance(lease.partition, self._offsets[lease], offset, lease.fence, numbers[lease])
            for lease, offset in reached.items()
        ]
        await self._state.apply(changes, advances)
        self._rows.keep(changes)
        self._offsets.update(reached)
        self._numbers.update(numbers)
        self.folded += sum(part.size for part in parts)

    async def _compute(self, thread: Executor | None, here: bool, call: Callable[[], T]) -> T:
        """Return the result of `call`, run on the loop if `here`, else on the thread."""
        if here:
            return self._timed(call)
        return await asyncio.get_running_loop().run_in_executor(thread, self._timed, call)

    def _timed(self, call: Callable[[], T]) -> T:
        with self._telemetry.cpu("record"):
            return call()

    def _log_unreadable(self, batch: Batch, parts: Sequence[Decoded]) -> None:
        """Log frames that could not be read. A partition with a frame that only another build can read stops there:
        continuing would lose the frame's events."""
        for (lease, _), part in zip(batch, parts, strict=True):
            about = {"topic": OUTCOMES, "partition": lease.partition}
            for damage in part.damaged:
                self._telemetry.log("error", "frame_quarantined", **about, offset=damage.offset, detail=damage.detail)
            if part.unknown:
                self._stopped.add(lease)
                self._telemetry.log("error", "record_stopped", **about, detail=part.unknown)

    async def _find_positions(self, leases: Collection[Lease]) -> None:
        known = self._offsets
        if known.keys() == set(leases):
            return
        self._rows.forget()
        stored = await self._state.positions()
        now = {lease: stored.get(lease.partition, Position(0)) for lease in leases}
        self._numbers = {lease: self._numbers.get(lease, now[lease].numbers) for lease in leases}
        self._offsets = {lease: known.get(lease, now[lease].offset) for lease in leases}
        self._stopped.intersection_update(leases)

    async def _read(self, leases: Sequence[Lease]) -> Batch:
        reading = [lease for lease in leases if lease not in self._stopped]
        self._turn += 1  # another partition comes first each time, so that none starves behind a busy one
        first = self._turn % len(reading) if reading else 0
        return await self._frames.read(
            {lease: self._offsets[lease] for lease in (*reading[first:], *reading[:first])}, RECORD_BATCH_EVENTS_MAX
        )


def _events(batch: Batch) -> int:
    return sum(frame.count for _, frames in batch for frame in frames)
