"""Refreshes the definitions that other processes changed in the background, so that readers need not ask the store.

An idle process refreshes nothing. The first batch after an idle time finds its definitions stale and refreshes them
itself (`ports.directory.catch_up`).
"""

import asyncio
from contextlib import suppress

from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits_processes import REVISION_LEARN_MS
from clarion.ports.directory import Directory
from clarion.ports.telemetry import Telemetry
from clarion.runtime.watch import woken_by


async def keep_definitions_fresh(directory: Directory, telemetry: Telemetry, stop: asyncio.Event) -> None:
    """Refresh until `stop` is set. A store that does not answer is asked again; until then readers refresh
    themselves."""
    wanted = asyncio.Event()
    directory.when_behind(wanted.set)
    async with woken_by(stop, wanted.set):
        while not stop.is_set():
            try:
                await directory.refresh()
            except StoreUnavailable as error:
                telemetry.log("warning", "definitions_not_learned", error=repr(error))
            wanted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(REVISION_LEARN_MS / 1000):
                    await stop.wait()
            if not (directory.was_asked() or stop.is_set()):  # it may have been set during the refresh
                await wanted.wait()
