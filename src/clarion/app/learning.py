"""Learns beside a process's work which definitions were changed elsewhere, so that whoever reads them need not ask."""

import asyncio

from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits import REVISION_LEARN_MS
from clarion.ports.directory import Directory
from clarion.ports.telemetry import Telemetry


async def keep_learning(directory: Directory, telemetry: Telemetry, stop: asyncio.Event) -> None:
    """Learn until told to stop. A store that does not answer is asked again: readers then look for themselves."""
    while not stop.is_set():
        try:
            await directory.learn()
        except StoreUnavailable as error:
            telemetry.log("warning", "definitions_not_learned", error=repr(error))
        try:
            async with asyncio.timeout(REVISION_LEARN_MS / 1000):
                await stop.wait()
        except TimeoutError:
            continue
