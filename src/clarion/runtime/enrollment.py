"""The enrollment of one start of a process: it says up to which feature level it reads, for as long as it is at work."""

import asyncio
from contextlib import suppress

from clarion.domain.errors import OutcomeUnknown
from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.domain.limits_processes import ENROLLED_MS, ENROLLMENT_MS
from clarion.ports.feature_level import FeatureLevels
from clarion.ports.telemetry import Telemetry
from clarion.runtime.store_wait import UNANSWERED, StoreWait


class Enrollment:
    """Enrolls a process (`Lease.owner`), renews that, and withdraws it at the end. A log line says when the level of the store
    rises."""

    def __init__(self, store: FeatureLevels, process: str, telemetry: Telemetry) -> None:
        self._store = store
        self.process = process
        self._telemetry = telemetry

    async def begin(self) -> None:
        """Enroll. To be called before anything is read. Raises `OperatorError` when a newer build wrote what this one cannot
        read."""
        before = self._store.feature_level()
        level = await self._store.enroll(self.process, FEATURE_LEVEL, ENROLLED_MS)
        if level > before:
            self._telemetry.log("info", "feature_level_raised", before=before, after=level)

    async def keep(self, stop: asyncio.Event) -> None:
        """Renew until `stop` is set, then withdraw. Raises `OperatorError` as `begin` does."""
        waits = StoreWait(self._telemetry, "enrollment")
        while not await _is_set(stop, ENROLLMENT_MS):
            try:
                await self.begin()
            except (*UNANSWERED, OutcomeUnknown) as error:
                await waits.pause(error, stop)
            else:
                waits.answered()
        await self.end()

    async def end(self) -> None:
        """Withdraw; what the store does not answer runs out by itself."""
        with suppress(*UNANSWERED, OutcomeUnknown):
            await self._store.withdraw(self.process)


async def _is_set(stop: asyncio.Event, within_ms: int) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_ms / 1000):
            await stop.wait()
    return stop.is_set()
