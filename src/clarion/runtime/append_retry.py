"""Commits of work that is already done: when the store has no room, they are retried, not dropped."""

import asyncio

from clarion.domain.errors import Overloaded
from clarion.ports.stage_store import Committed, StageResult, StageStore
from clarion.ports.telemetry import Telemetry

RETRY_PAUSE_S = 1.0


async def commit_with_retry(store: StageStore, result: StageResult, telemetry: Telemetry) -> Committed:
    """Commit as `StageStore.commit` does, and retry while the store has no room (full disk, locked file).

    Raises `StaleLease`, `StaleCursor` or `DurabilityError`.
    """
    while True:
        try:
            return await store.commit(result)
        except Overloaded as full:
            telemetry.log("warning", "journal_has_no_room", detail=full.detail)
            await asyncio.sleep(RETRY_PAUSE_S)
