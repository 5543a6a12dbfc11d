"""Appending work that is done already: when the journal has no room, waiting beats dropping."""

import asyncio

from clarion.domain.errors import Overloaded
from clarion.ports.journal import Append, Journal
from clarion.ports.telemetry import Telemetry

PAUSE_S = 1.0


async def append(journal: Journal, batch: Append, telemetry: Telemetry) -> list[int]:
    """Append as `Journal.append` does, but try again while the journal has no room (full disk, file locked).

    Raises `StaleLease`, `StaleCursor` or `DurabilityError`.
    """
    while True:
        try:
            return await journal.append(batch)
        except Overloaded as full:
            telemetry.log("warning", "journal_has_no_room", detail=full.detail)
            await asyncio.sleep(PAUSE_S)
