"""Counts and log lines of a decision, as values; the caller that commits the result counts and logs them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

from clarion.plan.log_lines import LogLine

Count: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a counter and its labels."""


class Notes:
    """Counts and lines of one decision."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.counts: Counter[Count] = Counter()

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Add a line."""
        self.lines.append(LogLine(level, event, fields))

    def log_all(self, log_lines: Iterable[LogLine]) -> None:
        """Add lines."""
        self.lines += log_lines

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter."""
        self.counts[name, tuple(labels.items())] += amount
