"""The record worker: reads `outcomes` of the partitions it leases, folds and stores them batch by batch.

Each step is three moves: gather the rows that a batch touches, decide by folding, commit. Positions live in the state
store, in the transaction of the fold, so every frame is folded exactly once. The journal is told of them about once a
second, only so that it can let go of frames. What reads or writes the store, and the folding of large batches, happen on
a thread of their own: the loop never waits for a disk.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

from clarion.domain.errors import StaleLease
from clarion.domain.history import Changes
from clarion.domain.limits import CAPTURE_AGE_MS_MAX, CAPTURES_PER_TENANT_MAX, RECORD_BATCH_EVENTS_MAX, RECORD_COMMIT_MS
from clarion.journal.consumer import LeasedPartitions
from clarion.journal.patience import commit
from clarion.journal.topics import OUTCOMES
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Commit, Lease, Position, Progress, StageResult, StageStore
from clarion.ports.state import Advance, Ledger
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.record.columns import decide
from clarion.record.frames import Decoded, decoded, touched
from clarion.record.gather import OpenRows, gather
from clarion.record.worker_frames import Batch, FramesAhead

T = TypeVar("T")

_PRUNE_MS: Final = 60_000
_STALE_PAUSE_S: Final = 0.1
_HERE_EVENTS_MAX: Final = 500
"""Events that are folded on the loop itself, in a few milliseconds: a turn of the thread would add to their cost."""


class RecordWorker:
    """Folds the partitions that `leases` (of group `record`) holds until told to stop. `folded` counts events."""

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
    ) -> None:
        self._streams = streams
        self._store = store
        self._frames = FramesAhead(streams)
        self._state = state
        self._rows = OpenRows()
        self._leases = leases
        self._clock = clock
        self._telemetry = telemetry
        self._linger_ms = linger_ms
        self._offsets: dict[Lease, int] = {}
        self._numbers: dict[Lease, Mapping[str, int]] = {}
        self._committed: dict[Lease, int] = {}
        self._stopped: set[Lease] = set()
        self._turn = 0
        self._began_ms = self._committed_ms = self._pruned_ms = clock.monotonic_ms() - _PRUNE_MS
        self.folded = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; the batch under way is finished and committed. Raises `DurabilityError`."""
        release = asyncio.Event()
        watch = self._streams.watch([OUTCOMES])
        await self._leases.step()
        leasing = asyncio.create_task(self._leases.run(release))
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="record") as thread:
                while not stop.is_set() and not leasing.done():
                    if not await self.step(thread):
                        await _first(watch.wait(RECORD_COMMIT_MS), stop.wait())
            await self._mirror()
        finally:
            release.set()
            await leasing

    async def step(self, thread: Executor | None) -> bool:
        """Fold one batch; return whether there was one. The store is called on `thread`, or where the loop does such
        things."""
        leases = list(self._leases.held().values())
        await self._find_positions(leases)
        await self._housekeep(leases)
        batch = await self._read(leases)
        linger_ms = self._began_ms + self._linger_ms - self._clock.monotonic_ms()
        if batch and linger_ms > 0 and _events(batch) < RECORD_BATCH_EVENTS_MAX:
            # The last batch has only just begun, so there is load: wait for a fuller one.
            await asyncio.sleep(linger_ms / 1000)
            batch = await self._read(leases)
        if not batch:
            return False
        self._began_ms = self._clock.monotonic_ms()
        try:
            await self._record(thread, batch)
        except StaleLease as stale:
            self._telemetry.log("warning", "record_lease_lost", detail=str(stale))
            self._offsets.clear()
            self._numbers.clear()
            self._frames.forget()
            self._rows.forget()
            await asyncio.sleep(_STALE_PAUSE_S)
        return True

    async def _record(self, thread: Executor | None, batch: Batch) -> None:
        """Gather, decide, commit. Raises what the ledger raises."""
        with self._telemetry.cpu("record"):
            parts = [decoded(frames, self._numbers[lease]) for lease, frames in batch]
            frames = [frame for part in parts for frame in part.events]
            keys = touched(frames)
        self._tell(batch, parts)
        facts = await gather(self._state, self._rows, keys)
        small = _events(batch) <= _HERE_EVENTS_MAX
        changes = await self._compute(thread, small, lambda: decide(frames, facts))
        await self._commit(changes, batch, parts)

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
        """Return what a call gives: made `here`, on the loop, or on the thread."""
        if here:
            return self._timed(call)
        return await asyncio.get_running_loop().run_in_executor(thread, self._timed, call)

    def _timed(self, call: Callable[[], T]) -> T:
        with self._telemetry.cpu("record"):
            return call()

    def _tell(self, batch: Batch, parts: Sequence[Decoded]) -> None:
        """Log what could not be read. A partition with a frame that only another build can read stops there: going on
        would drop what it holds."""
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

    async def _housekeep(self, leases: Collection[Lease]) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._committed_ms >= RECORD_COMMIT_MS:
            await self._mirror()
        if now_ms - self._pruned_ms >= _PRUNE_MS and any(lease.partition == 0 for lease in leases):
            self._pruned_ms = now_ms
            before_ms = self._clock.now_ms() - CAPTURE_AGE_MS_MAX
            await self._state.prune_captures(before_ms, CAPTURES_PER_TENANT_MAX)

    async def _mirror(self) -> None:
        """Tell the journal of the positions that moved, all at once."""
        self._committed_ms = self._clock.monotonic_ms()
        moved = [(lease, offset) for lease, offset in self._offsets.items() if offset != self._committed.get(lease, 0)]
        await asyncio.gather(*(self._mirror_one(lease, offset) for lease, offset in moved))
        self._committed = {lease: offset for lease, offset in self._committed.items() if lease in self._offsets}

    async def _mirror_one(self, lease: Lease, offset: int) -> None:
        with suppress(StaleLease):  # whoever holds it now folds on from the same position and commits it
            done = StageResult(progress=Progress([Commit(lease, OUTCOMES, offset)]))
            await commit(self._store, done, self._telemetry)
            self._committed[lease] = offset


def _events(batch: Batch) -> int:
    return sum(frame.count for _, frames in batch for frame in frames)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of these and drop the others. Raises what that one raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
