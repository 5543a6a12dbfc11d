"""Metrics and log lines of one process behind `ports.telemetry.Telemetry`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from clarion.ops.loop_busy import STRETCH_S_MIN, TURN, LoopBeat, on_loop
from clarion.ops.metrics import Metrics


class ProcessTelemetry:
    """Counts into `Metrics` and logs through structlog."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._logger = structlog.get_logger()

    @contextmanager
    def cpu(self, stage: str) -> Iterator[None]:
        """Attribute the CPU time this thread spends inside the block (which must not await) to a stage."""
        began_ns = time.thread_time_ns()
        try:
            yield
        finally:
            seconds = (time.thread_time_ns() - began_ns) / 1e9
            self.metrics.cpu(stage, seconds)
            if seconds >= STRETCH_S_MIN and on_loop():
                self.metrics.busy(stage, seconds)

    def follow_loop(self) -> None:
        """Watch from now on how long the running event loop is busy at a stretch."""
        LoopBeat(lambda seconds: self.metrics.busy(TURN, seconds))

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter: `accepted` (lane), `planned` (channel, decision), `attempts` (channel, outcome), `timers`,
        `refused` (code), `quota_refused` (kind), `provider_changes` (channel, state)."""
        if amount:
            self.metrics.count(name, amount, **labels)

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Write a structured log line; `level` is `info`, `warning` or `error`."""
        getattr(self._logger, level)(event, **fields)
