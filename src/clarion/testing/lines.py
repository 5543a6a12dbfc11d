"""Log lines, kept."""

from contextlib import nullcontext
from typing import Any


class Lines:
    """Implements `ports.telemetry.Telemetry`. `faults` are warnings and errors, as (level, event, fields)."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str, dict[str, Any]]] = []

    def cpu(self, stage: str) -> nullcontext[None]:
        """Measure nothing."""
        return nullcontext()

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Count nothing."""

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Keep what an operator would look at."""
        if level != "info":
            self.faults.append((level, event, fields))
