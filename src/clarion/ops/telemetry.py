"""Metrics and log lines of one process behind `ports.telemetry.Telemetry`."""

import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from clarion.domain.security_events import SecurityEvent
from clarion.ops.loop_busy import STRETCH_S_MIN, TURN, LoopBeat, on_loop
from clarion.ops.metrics import Metrics
from clarion.ops.security_log import SecurityLog
from clarion.runtime.metering import Meter

T = TypeVar("T")


class ProcessTelemetry:
    """Counts into `Metrics` and logs through structlog."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._logger = structlog.get_logger()
        self._security = SecurityLog(self._logger.warning)

    @contextmanager
    def cpu(self, stage: str) -> Iterator[None]:
        """Attribute the CPU time this thread spends inside the block (which must not await) to a stage."""
        began_ns = time.thread_time_ns()
        try:
            yield
        finally:
            spent_ns = time.thread_time_ns() - began_ns
            self._spent(stage, spent_ns, spent_ns)

    async def cpu_of(self, stage: str, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns, and attribute to a stage the CPU time that this thread spends in it."""
        meter = Meter()
        try:
            return await meter.run(work)
        finally:
            self._spent(stage, meter.spent_ns, meter.longest_ns)

    def follow_loop(self) -> None:
        """Begin to measure how long the running event loop is busy without a pause."""
        LoopBeat(lambda seconds: self.metrics.busy(TURN, seconds), each=self.metrics.flush)

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter: `accepted` (lane), `planned` (channel, decision), `attempts` (channel, outcome), `timers`,
        `refused` (code), `quota_refused` (kind), `provider_changes` (channel, state)."""
        if amount:
            self.metrics.count(name, amount, **labels)

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Write a structured log line; `level` is `info`, `warning` or `error`."""
        getattr(self._logger, level)(event, **fields)

    def security(self, event: SecurityEvent, **fields: Any) -> None:
        """Record an event of the security log: it is counted, and written at a bounded rate."""
        self.metrics.count("security_events", 1, event=event.value)
        self._security.record(event, fields)

    def _spent(self, stage: str, spent_ns: int, longest_ns: int) -> None:
        self.metrics.cpu(stage, spent_ns / 1e9)
        if longest_ns / 1e9 >= STRETCH_S_MIN and on_loop():
            self.metrics.busy(stage, longest_ns / 1e9)
