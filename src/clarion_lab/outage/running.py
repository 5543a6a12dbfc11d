"""A whole installation that runs like a worker and a scheduler, each stage in its own task, under virtual time."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from clarion.app.wiring.assembly import accounts, channel_pool, fetch_pool, plan_worker, record_worker, sender
from clarion.app.wiring.parts import Shared
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_handover import Handovers
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.journal import topics
from clarion.runtime.consumer import LeasedPartitions
from clarion.wait.worker import TimerWorker

_OWNER: Final = "testing"
_RETENTION_MS: Final = 60_000
"""Frames that all consumers have read are removed soon: they would only use memory."""

_STOP_S: Final = 60.0
"""Seconds of the loop's time that stages may take to finish their work."""

_FOLD_S: Final = 2.0
"""Seconds for which the record stage continues to fold after that."""


class Running:
    """Starts the stages for some channels with `async with`, and ends them as a stopped worker does."""

    def __init__(self, parts: Shared, channels: Sequence[Channel]) -> None:
        self._parts = parts
        self._channels = channels
        self._stop = asyncio.Event()
        self._recorded = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Running":
        parts, stop = self._parts, self._stop
        recorder = record_worker(parts, self._leases(topics.GROUP_RECORD))
        timers = TimerWorker(parts.streams, parts.store, parts.clock, parts.telemetry, retention_ms=_RETENTION_MS)
        jobs: list[Coroutine[Any, Any, None]] = [recorder.run(self._recorded), timers.run(stop)]
        leases = self._leases(topics.GROUP_PLAN)
        jobs += [leases.run(stop), plan_worker(parts, leases, fetch_pool(parts)).run(stop)]
        sends, used = sender(parts, Sender), accounts(parts, _OWNER)
        cancelled = CancellationCache(parts.store, parts.clock)
        for channel in self._channels:
            leases = self._leases(topics.group_deliver(channel))
            pool = channel_pool(parts, leases, sends, used, cancelled, channel, _OWNER, Handovers())
            jobs += [leases.run(stop), pool.run(stop)]
        self._tasks = [asyncio.create_task(job) for job in jobs]
        return self

    async def __aexit__(self, *_: object) -> None:
        # The record stage stops last, so that it folds the last outcome events of the other stages.
        recorder, *others = self._tasks
        self._stop.set()
        await asyncio.wait(others, timeout=_STOP_S)
        await asyncio.sleep(_FOLD_S)
        self._recorded.set()
        await asyncio.wait([recorder], timeout=_STOP_S)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    def check(self) -> None:
        """Raise the error that ended a stage, if one has ended."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("a stage ended by itself")

    def _leases(self, group: str) -> LeasedPartitions:
        return LeasedPartitions(self._parts.store, group, _OWNER, self._parts.clock)
