"""The cancellations: read in one place for all partitions of a process, and never once per delivery."""

import asyncio
from collections.abc import Iterable
from typing import Final

from clarion.domain import ids
from clarion.domain.limits_processes import CANCELLATIONS_PER_READ_MAX
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Committed, StageStore

CANCELLED_CHECK_MS: Final = 50
"""How old the cached cancellations may be when a delivery that waited for a sender is sent."""


class CancellationCache:
    """Ids of the cancelled notifications and broadcasts, as cached by one process. Callers that ask while a read is
    under way share the next read."""

    def __init__(self, store: StageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ids: set[bytes] = set()
        self._sequence = 0
        self._begun = self._known = 0
        """Numbers of the last read that began, and of the last that succeeded."""
        self._known_ms = -CANCELLED_CHECK_MS
        self._reading = asyncio.Lock()

    def cancelled_of(self, delivery_ids: Iterable[bytes]) -> frozenset[bytes]:
        """Return the ids of those notifications of deliveries that are known to be cancelled."""
        if not self._ids:
            return frozenset()
        return frozenset(id_ for id_ in map(ids.notification_of, delivery_ids) if id_ in self._ids)

    @property
    def sequence(self) -> int:
        """The sequence number up to which cancellations are known: a commit returns those after it."""
        return self._sequence

    async def update(self, committed: Committed, asked_ms: int) -> None:
        """Add the cancellations that a commit returned: those stored before it was durable. `asked_ms` is when the
        commit was requested, on the monotonic clock. Reads only where the commit could not return all."""
        if committed.cancelled is None:
            return
        sequence, found = committed.cancelled
        self._ids.update(found)
        self._sequence = max(sequence, self._sequence)
        if len(found) == CANCELLATIONS_PER_READ_MAX:
            await self._read_new()
        else:
            self._known_ms = max(asked_ms, self._known_ms)

    async def refresh(self) -> None:
        """Read all cancellations made more than `CANCELLED_CHECK_MS` ago."""
        async with self._reading:
            if self.is_stale():
                await self._read()

    def is_stale(self) -> bool:
        """Return whether `refresh` would read."""
        return self._clock.monotonic_ms() - self._known_ms >= CANCELLED_CHECK_MS

    async def _read_new(self) -> None:
        """Read all cancellations made before this call."""
        begun = self._begun
        async with self._reading:
            if self._known <= begun:
                await self._read()

    async def _read(self) -> None:
        self._begun += 1
        began_ms = self._clock.monotonic_ms()
        more = True
        while more:  # one read is bounded, and a new process begins at the first cancellation
            sequence, found = await self._store.cancellations_after(self._sequence)
            self._ids.update(found)
            self._sequence = max(sequence, self._sequence)
            more = len(found) == CANCELLATIONS_PER_READ_MAX
        self._known, self._known_ms = self._begun, max(began_ms, self._known_ms)
