"""Storing work that is done already: when the store has no room, waiting beats dropping."""

import asyncio

from clarion.domain.errors import Overloaded
from clarion.ports.stage_store import Committed, StageResult, StageStore
from clarion.ports.telemetry import Telemetry

PAUSE_S = 1.0


async def commit(store: StageStore, result: StageResult, telemetry: Telemetry) -> Committed:
    """Commit as `StageStore.commit` does, but try again while the store has no room (full disk, file locked).

    Raises `StaleLease`, `StaleCursor` or `DurabilityError`.
    """
    while True:
        try:
            return await store.commit(result)
        except Overloaded as full:
            telemetry.log("warning", "journal_has_no_room", detail=full.detail)
            await asyncio.sleep(PAUSE_S)
