"""Counts audiences in `control.db` on a thread with its own read-only connection, a span of users at a time.

Each span is a separate query: the time is checked in between, and no snapshot is held that would keep the write-ahead
log from being checkpointed.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import apsw

from clarion.domain.errors import Overloaded, StoreUnavailable
from clarion.domain.limits_processes import AUDIENCE_COUNT_MS_MAX, AUDIENCE_COUNTS_MAX
from clarion.domain.segment import Filter
from clarion.ports.audiences import Count
from clarion.ports.clock import Clock
from clarion.stores.sqlite.audience_pages import AudienceReader
from clarion.stores.sqlite.connection import connect, fetch_all
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.segment_sql import SqlCondition, condition, install

_EVERYONE: Final = SqlCondition("1", ())
_COUNT: Final = "SELECT count(*) FROM {where}"


class SqliteAudiences:
    """Implements `ports.audiences.Audiences`. Thread and connection are created by the first count."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._path = path_of(data_dir, "control")
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audiences")
        self._under_way = 0
        self._opened: apsw.Connection | None = None

    async def count(
        self, tenant: str, topic: str | None, filter_: Filter | None, *, most: int | None = None, sample: int = 0
    ) -> Count:
        """Return the number of matching users of the tenant or topic."""
        if self._under_way >= AUDIENCE_COUNTS_MAX:
            raise Overloaded("too many audiences are being counted")
        matching = _EVERYONE if filter_ is None else condition(filter_, tenant, self._clock.now_ms())
        spans = self._spans(tenant, topic, matching, most, sample)
        self._under_way += 1
        try:
            return await self._last(spans)
        except apsw.Error as error:
            raise StoreUnavailable(f"control store: {error}") from error
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Finish the current count and close."""
        if self._opened is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._opened.close)
        self._thread.shutdown()

    async def _last(self, spans: Iterator[Count]) -> Count:
        (last,) = await asyncio.get_running_loop().run_in_executor(self._thread, lambda: deque(spans, maxlen=1))
        return last

    def _spans(
        self, tenant: str, topic: str | None, matching: SqlCondition, most: int | None, sample: int
    ) -> Iterator[Count]:
        """Yield what is counted after each span; the last one is the answer."""
        deadline_ms = self._clock.monotonic_ms() + AUDIENCE_COUNT_MS_MAX
        reader = AudienceReader(self._rows, self._clock.monotonic_ms)
        users, names = 0, list[str]()
        for matches in reader.matches(tenant, topic, 0, matching):
            missing = sample - len(names)
            first = reader.first(matches.matched, missing) if missing else []
            names += [row[1] for row in first]
            if len(first) < missing:
                users += len(first)  # fewer rows than requested: there are no more
            else:
                users += self._rows(_COUNT.format(where=matches.matched.where), matches.matched.values)[0][0]
            over = (most is not None and users > most) or self._clock.monotonic_ms() >= deadline_ms
            yield Count(users, matches.last is None, names)
            if over:
                return

    def _rows(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        if self._opened is None:
            self._opened = connect(self._path, readonly=True, mmap=True)
            install(self._opened)
        return fetch_all(self._opened, text, values)


class MemoryAudiences(SqliteAudiences):
    """Counts on the calling thread; other tasks run between two spans."""

    def __init__(self, db: apsw.Connection, clock: Clock) -> None:
        self._clock = clock
        self._under_way = 0
        self._opened = db

    async def close(self) -> None:
        """Do nothing: the connection is the control store's."""

    async def _last(self, spans: Iterator[Count]) -> Count:
        counted = next(spans)
        for later in spans:
            counted = later
            await asyncio.sleep(0)
        return counted
