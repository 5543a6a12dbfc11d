"""Users who are connected and see at once what is recorded for them: their in-app messages skip the pauses that others make for
fuller batches."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from clarion.domain.errors import DurabilityError
from clarion.domain.limits_gateway import ONLOOKERS_CHECKED_MAX, PRESENCE_LOOK_MS
from clarion.ports.clock import Clock
from clarion.ports.presence import Presence, User
from clarion.runtime.store_wait import UNANSWERED


class Onlookers:
    """What the workers of one process know of them. While nobody is connected anywhere, nothing is read but that, now and then."""

    def __init__(self, presence: Presence, clock: Clock) -> None:
        self._presence = presence
        self._clock = clock
        self._someone = False
        self._look_ms = 0
        self._hurry = asyncio.Event()

    async def include(self, users: Collection[User]) -> bool:
        """Return whether any of the users is connected. Of very many, some are looked at."""
        if not users:
            return False
        with suppress(*UNANSWERED, DurabilityError):  # without an answer nobody hurries
            now_ms = self._clock.monotonic_ms()
            if now_ms >= self._look_ms:
                self._look_ms = now_ms + PRESENCE_LOOK_MS
                self._someone = await self._presence.gateways() > 0
            return self._someone and bool(await self._presence.present(list(users)[:ONLOOKERS_CHECKED_MAX]))
        return False

    def hurry(self) -> None:
        """End the pause before the next recording."""
        self._hurry.set()

    async def pause(self, most_ms: float, least_ms: float = 0) -> None:
        """Wait for a time, or after a shorter one until someone hurries."""
        if least_ms > 0:
            await asyncio.sleep(min(least_ms, most_ms) / 1000)
        with suppress(TimeoutError):
            async with asyncio.timeout((most_ms - max(0, least_ms)) / 1000):
                await self._hurry.wait()
        self._hurry.clear()
