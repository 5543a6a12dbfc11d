"""What was cancelled: learnt in one place for all partitions of a process, and never once for each delivery."""

import asyncio
from collections.abc import Iterable
from typing import Final

from clarion.domain import ids
from clarion.domain.limits import CANCELLATIONS_PER_READ_MAX
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Committed, StageStore

CANCELLED_CHECK_MS: Final = 50
"""How old the knowledge of cancellations may be when a delivery that waited for a sender is sent."""


class Cancelled:
    """Ids of the notifications and broadcasts that were cancelled, as one process knows them. Those who ask while somebody
    reads share the next read."""

    def __init__(self, store: StageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ids: set[bytes] = set()
        self._sequence = 0
        self._begun = self._known = 0
        """Numbers of the last read that began, and of the last that ended well."""
        self._known_ms = -CANCELLED_CHECK_MS
        self._reading = asyncio.Lock()

    def among(self, delivery_ids: Iterable[bytes]) -> frozenset[bytes]:
        """Return the ids of those notifications of deliveries that are known to be cancelled."""
        if not self._ids:
            return frozenset()
        return frozenset(id_ for id_ in map(ids.notification_of, delivery_ids) if id_ in self._ids)

    @property
    def sequence(self) -> int:
        """Up to where cancellations are known: a commit is to say those after it."""
        return self._sequence

    async def take_up(self, committed: Committed, asked_ms: int) -> None:
        """Take up what a commit that was asked at a time (of the clock that never goes back) says was cancelled before it was
        durable. Reads only where it could not say all."""
        if committed.cancelled is None:
            return
        sequence, found = committed.cancelled
        self._ids.update(found)
        self._sequence = max(sequence, self._sequence)
        if len(found) == CANCELLATIONS_PER_READ_MAX:
            await self._learn()
        else:
            self._known_ms = max(asked_ms, self._known_ms)

    async def refresh(self) -> None:
        """Take up whatever was cancelled more than `CANCELLED_CHECK_MS` ago."""
        async with self._reading:
            if self.is_stale():
                await self._read()

    def is_stale(self) -> bool:
        """Return whether `refresh` would read."""
        return self._clock.monotonic_ms() - self._known_ms >= CANCELLED_CHECK_MS

    async def _learn(self) -> None:
        """Take up whatever was cancelled before this call."""
        begun = self._begun
        async with self._reading:
            if self._known <= begun:
                await self._read()

    async def _read(self) -> None:
        self._begun += 1
        began_ms = self._clock.monotonic_ms()
        more = True
        while more:  # one read is bounded, and a process that starts begins at the first cancellation
            sequence, found = await self._store.cancellations_after(self._sequence)
            self._ids.update(found)
            self._sequence = max(sequence, self._sequence)
            more = len(found) == CANCELLATIONS_PER_READ_MAX
        self._known, self._known_ms = self._begun, max(began_ms, self._known_ms)
