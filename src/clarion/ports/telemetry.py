"""Counting and timing as a port: called once a frame or batch, never once a notification."""

from contextlib import AbstractContextManager
from typing import Any, Protocol


class Telemetry(Protocol):
    """Metrics and log lines of one process."""

    def cpu(self, stage: str) -> AbstractContextManager[None]:
        """Attribute the CPU time this thread spends inside the block (which must not await) to a stage."""
        ...

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter."""
        ...

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Write a structured log line; `level` is `info`, `warning` or `error`."""
        ...
