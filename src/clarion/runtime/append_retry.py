"""Commits of work that is already done: when the store has no room or is away, they are retried, not dropped."""

import asyncio

from clarion.domain.errors import Overloaded, StoreAway
from clarion.ports.stage_store import Committed, StageResult, StageStore
from clarion.ports.telemetry import Telemetry

RETRY_PAUSE_S = 1.0


async def commit_with_retry(store: StageStore, result: StageResult, telemetry: Telemetry) -> Committed:
    """Commit as `StageStore.commit` does, and retry while the store has no room (full disk, locked file) or its
    server is away. A line of the log says when it succeeds.

    Raises `StaleLease`, `StaleCursor` or `DurabilityError`.
    """
    tries = 0
    while True:
        try:
            committed = await store.commit(result)
        except Overloaded as refused:
            tries += 1
            event = "store_unavailable" if isinstance(refused, StoreAway) else "journal_has_no_room"
            telemetry.log("warning", event, detail=refused.detail)
            await asyncio.sleep(RETRY_PAUSE_S)
        else:
            if tries:
                telemetry.log("info", "store_takes_commits", tries=tries)
            return committed
