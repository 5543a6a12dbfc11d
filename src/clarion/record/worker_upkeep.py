"""What the record worker does beside its folding, and no batch waits for: the journal is told how far it is, old captures go."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from clarion.domain.errors import StaleLease
from clarion.domain.limits import CAPTURE_AGE_MS_MAX, CAPTURES_PER_TENANT_MAX, RECORD_COMMIT_MS
from clarion.journal.patience import commit
from clarion.journal.topics import OUTCOMES
from clarion.ports.clock import Clock
from clarion.ports.metering import together
from clarion.ports.stage_store import Commit, Lease, Progress, StageResult, StageStore
from clarion.ports.state import Ledger
from clarion.ports.telemetry import Telemetry

_PRUNE_MS: Final = 60_000
_WAIT_MS_MIN: Final = 100


class Upkeep:
    """A task at a time: about once a second the positions that moved, once a minute captures, by who holds partition 0."""

    def __init__(self, store: StageStore, state: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._telemetry = telemetry
        self._committed: dict[Lease, int] = {}
        self._told_ms = self._pruned_ms = clock.monotonic_ms() - _PRUNE_MS
        self._task: asyncio.Task[None] | None = None

    def begin(self, offsets: Mapping[Lease, int]) -> None:
        """Start what is due, if nothing is under way. Raises what the last task raised."""
        if self._task is not None:
            if not self._task.done():
                return
            task, self._task = self._task, None
            task.result()
        now_ms = self._clock.monotonic_ms()
        tell = now_ms - self._told_ms >= RECORD_COMMIT_MS and bool(self._moved(offsets))
        prune = now_ms - self._pruned_ms >= _PRUNE_MS and self._prunes(offsets)
        if tell or prune:
            self._told_ms = now_ms if tell else self._told_ms
            self._pruned_ms = now_ms if prune else self._pruned_ms
            self._task = asyncio.create_task(self.run(dict(offsets) if tell else {}, prune=prune))

    def due_ms(self, offsets: Mapping[Lease, int]) -> int:
        """Return how long nothing will be due, if nothing is recorded meanwhile."""
        now_ms = self._clock.monotonic_ms()
        due_ms = now_ms + _PRUNE_MS
        if self._prunes(offsets):
            due_ms = self._pruned_ms + _PRUNE_MS
        if self._moved(offsets):
            due_ms = min(due_ms, self._told_ms + RECORD_COMMIT_MS)
        return max(due_ms - now_ms, _WAIT_MS_MIN)

    async def finish(self) -> None:
        """Wait for what is under way. Raises what it raised."""
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def run(self, offsets: Mapping[Lease, int], *, prune: bool) -> None:
        """Tell the journal of the positions that moved, side by side, and drop captures."""
        await together(*(self.tell(lease, offsets[lease]) for lease in self._moved(offsets)))
        if offsets:
            self._committed = {lease: offset for lease, offset in self._committed.items() if lease in offsets}
        if prune:
            before_ms = self._clock.now_ms() - CAPTURE_AGE_MS_MAX
            await self._state.prune_captures(before_ms, CAPTURES_PER_TENANT_MAX)

    async def tell(self, lease: Lease, offset: int) -> None:
        """Tell the journal how far one partition was folded, so that it can let go of the frames."""
        with suppress(StaleLease):  # whoever holds it now folds on from the same position and commits it
            done = StageResult(progress=Progress([Commit(lease, OUTCOMES, offset)]))
            await commit(self._store, done, self._telemetry)
            self._committed[lease] = offset

    def _prunes(self, offsets: Mapping[Lease, int]) -> bool:
        return any(lease.partition == 0 for lease in offsets)

    def _moved(self, offsets: Mapping[Lease, int]) -> list[Lease]:
        return [lease for lease, offset in offsets.items() if offset != self._committed.get(lease, 0)]
