"""Telemetry that stores log lines."""

from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any, TypeVar

from clarion.domain.security_events import SecurityEvent

T = TypeVar("T")


class Lines:
    """Implements `ports.telemetry.Telemetry`. `faults` are warnings and errors, as (level, event, fields)."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str, dict[str, Any]]] = []

    def cpu(self, stage: str) -> nullcontext[None]:
        """Measure nothing."""
        return nullcontext()

    async def cpu_of(self, stage: str, work: Coroutine[Any, Any, T]) -> T:
        """Measure nothing."""
        return await work

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Count nothing."""

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Store a line if it is a warning or an error."""
        if level != "info":
            self.faults.append((level, event, fields))

    def security(self, event: SecurityEvent, **fields: Any) -> None:
        """Store no event of the security log."""
