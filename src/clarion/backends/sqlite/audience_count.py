"""Counts audiences in `control.db` on a thread with a read-only connection of its own, a span of users at a time.

Each span is a query of its own: the time is looked at in between, and no snapshot is held that keeps the write-ahead log
from being emptied.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from clarion.backends.sqlite.audience_pages import AudienceReader
from clarion.backends.sqlite.connection import connect, fetch_all
from clarion.backends.sqlite.migrate import path_of
from clarion.backends.sqlite.segment_sql import Condition, condition, install
from clarion.domain.errors import Overloaded, StoreUnavailable
from clarion.domain.limits_deciding import AUDIENCE_COUNT_MS_MAX, AUDIENCE_COUNTS_MAX
from clarion.domain.segment import Filter
from clarion.ports.audiences import Count
from clarion.ports.clock import Clock

_EVERYONE: Final = Condition("1", ())
_COUNT: Final = "SELECT count(*) FROM {where}"


class SqliteAudiences:
    """Implements `ports/audiences.py`. Thread and connection are there from the first count on."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._path = path_of(data_dir, "control")
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audiences")
        self._under_way = 0
        self._opened: apsw.Connection | None = None

    async def count(
        self, tenant: str, topic: str | None, filter_: Filter | None, *, most: int | None = None, sample: int = 0
    ) -> Count:
        """Count the users of the tenant or topic, those that match, until more than `most` are found or time is up."""
        if self._under_way >= AUDIENCE_COUNTS_MAX:
            raise Overloaded("too many audiences are being counted")
        matching = _EVERYONE if filter_ is None else condition(filter_, tenant, self._clock.now_ms())
        work = partial(self._count, tenant, topic, matching, most, sample)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except apsw.Error as error:
            raise StoreUnavailable(f"control store: {error}") from error
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Finish the count under way and close."""
        if self._opened is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._opened.close)
        self._thread.shutdown()

    def _count(self, tenant: str, topic: str | None, matching: Condition, most: int | None, sample: int) -> Count:
        deadline_ms = self._clock.monotonic_ms() + AUDIENCE_COUNT_MS_MAX
        reader = AudienceReader(self._rows, self._clock.monotonic_ms)
        users, names = 0, list[str]()
        for look in reader.looks(tenant, topic, 0, matching):
            missing = sample - len(names)
            first = reader.first(look.matched, missing) if missing else []
            names += [row[1] for row in first]
            if len(first) < missing:
                users += len(first)  # fewer than were asked for are all there are
            else:
                users += self._rows(_COUNT.format(where=look.matched.where), look.matched.values)[0][0]
            over = (most is not None and users > most) or self._clock.monotonic_ms() >= deadline_ms
            if over and look.last is not None:
                return Count(users, False, names)
        return Count(users, True, names)

    def _rows(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        if self._opened is None:
            self._opened = connect(self._path, readonly=True, mmap=True)
            install(self._opened)
        return fetch_all(self._opened, text, values)
