"""Learns beside a process's work which definitions were changed elsewhere, so that whoever reads them need not ask.

A process without work asks for nothing, and learns nothing. The first batch after that finds that what is known is not
current any more, and learns by itself (`ports.directory.catch_up`).
"""

import asyncio
from contextlib import suppress

from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits import REVISION_LEARN_MS
from clarion.journal.watch import woken_by
from clarion.ports.directory import Directory
from clarion.ports.telemetry import Telemetry


async def keep_learning(directory: Directory, telemetry: Telemetry, stop: asyncio.Event) -> None:
    """Learn until told to stop. A store that does not answer is asked again: readers then look for themselves."""
    wanted = asyncio.Event()
    directory.when_behind(wanted.set)
    async with woken_by(stop, wanted.set):
        while not stop.is_set():
            try:
                await directory.learn()
            except StoreUnavailable as error:
                telemetry.log("warning", "definitions_not_learned", error=repr(error))
            wanted.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REVISION_LEARN_MS / 1000)
            if not directory.was_asked():
                await wanted.wait()
