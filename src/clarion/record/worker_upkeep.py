"""Maintenance of the record worker, concurrent with folding: reports positions to the journal, deletes old captures."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import CAPTURE_AGE_MS_MAX, CAPTURES_PER_TENANT_MAX, RECORD_COMMIT_MS
from clarion.journal.topics import OUTCOMES
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Commit, GroupProgress, Lease, StageResult, StageStore
from clarion.ports.state import Ledger
from clarion.ports.telemetry import Telemetry
from clarion.runtime.append_retry import commit_with_retry
from clarion.runtime.metering import together

_PRUNE_MS: Final = 60_000
_WAIT_MS_MIN: Final = 100


class Upkeep:
    """One task at a time: about once a second it reports changed positions, once a minute it prunes captures, in the
    worker that holds partition 0."""

    def __init__(self, store: StageStore, state: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._telemetry = telemetry
        self._committed: dict[Lease, int] = {}
        self._reported_ms = self._pruned_ms = clock.monotonic_ms() - _PRUNE_MS
        self._task: asyncio.Task[None] | None = None

    def begin(self, offsets: Mapping[Lease, int]) -> None:
        """Start the task if it is due and none is under way. Raises the error of the last task."""
        if self._task is not None:
            if not self._task.done():
                return
            task, self._task = self._task, None
            task.result()
        now_ms = self._clock.monotonic_ms()
        report = now_ms - self._reported_ms >= RECORD_COMMIT_MS and bool(self._moved(offsets))
        prune = now_ms - self._pruned_ms >= _PRUNE_MS and self._prunes(offsets)
        if report or prune:
            self._reported_ms = now_ms if report else self._reported_ms
            self._pruned_ms = now_ms if prune else self._pruned_ms
            self._task = asyncio.create_task(self.run(dict(offsets) if report else {}, prune=prune))

    def due_ms(self, offsets: Mapping[Lease, int]) -> int:
        """Return how long nothing will be due, if nothing is recorded meanwhile."""
        now_ms = self._clock.monotonic_ms()
        due_ms = now_ms + _PRUNE_MS
        if self._prunes(offsets):
            due_ms = self._pruned_ms + _PRUNE_MS
        if self._moved(offsets):
            due_ms = min(due_ms, self._reported_ms + RECORD_COMMIT_MS)
        return max(due_ms - now_ms, _WAIT_MS_MIN)

    async def finish(self) -> None:
        """Wait for the task under way. Raises its error."""
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def run(self, offsets: Mapping[Lease, int], *, prune: bool) -> None:
        """Report the changed positions to the journal, concurrently, and prune captures."""
        await together(*(self.report_position(lease, offsets[lease]) for lease in self._moved(offsets)))
        if offsets:
            self._committed = {lease: offset for lease, offset in self._committed.items() if lease in offsets}
        if prune:
            before_ms = self._clock.now_ms() - CAPTURE_AGE_MS_MAX
            await self._state.prune_captures(before_ms, CAPTURES_PER_TENANT_MAX)

    async def report_position(self, lease: Lease, offset: int) -> None:
        """Report to the journal how far one partition was folded, so that it can delete the frames."""
        with suppress(StaleLease):  # the new holder continues from the same position and commits it
            done = StageResult(progress=GroupProgress([Commit(lease, OUTCOMES, offset)]))
            await commit_with_retry(self._store, done, self._telemetry)
            self._committed[lease] = offset

    def _prunes(self, offsets: Mapping[Lease, int]) -> bool:
        return any(lease.partition == 0 for lease in offsets)

    def _moved(self, offsets: Mapping[Lease, int]) -> list[Lease]:
        return [lease for lease, offset in offsets.items() if offset != self._committed.get(lease, 0)]
