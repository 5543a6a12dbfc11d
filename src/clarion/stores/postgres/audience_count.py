"""Counts audiences on PostgreSQL, a span of users at a time: the time is checked in between, and no statement holds a
snapshot for long."""

import asyncio

from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import AUDIENCE_COUNT_MS_MAX, AUDIENCE_COUNTS_MAX
from clarion.domain.segment import Filter
from clarion.ports.audiences import Count
from clarion.ports.clock import Clock
from clarion.stores.postgres.audience_pages import Audience, AudienceReader, BatchSize
from clarion.stores.postgres.pool import Database


class PostgresAudiences:
    """Implements `ports/audiences.py`. One count at a time runs, so that counts leave connections to others."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._reader = AudienceReader(database, clock.monotonic_ms)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._under_way = 0

    async def count(
        self, tenant: str, topic: str | None, filter_: Filter | None, *, most: int | None = None, sample: int = 0
    ) -> Count:
        """Return the number of matching users of the tenant or topic. The count ends early once it exceeds `most` or
        time is up. Raises `Overloaded` when too many counts are running."""
        if self._under_way >= AUDIENCE_COUNTS_MAX:
            raise Overloaded("too many audiences are being counted")
        self._under_way += 1
        try:
            async with self._turn:
                return await self._count(Audience(tenant, topic, filter_, self._clock.now_ms()), most, sample)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Finish the current count."""
        async with self._turn:
            return

    async def _count(self, audience: Audience, most: int | None, sample: int) -> Count:
        deadline_ms = self._clock.monotonic_ms() + AUDIENCE_COUNT_MS_MAX
        pace, users, names, last = BatchSize(self._clock.monotonic_ms), 0, list[str](), 0
        while True:
            end, number, first = await self._reader.count(audience, last, pace.users, sample - len(names))
            users += number
            names += first
            if end is None:
                return Count(users, True, names)
            if (most is not None and users > most) or self._clock.monotonic_ms() >= deadline_ms:
                return Count(users, False, names)
            last = end
            pace.looked()
