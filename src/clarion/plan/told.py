"""What a decision wants told: log lines as values, written by whoever asked for the decision."""

from typing import Any, NamedTuple


class LogLine(NamedTuple):
    """One log line; `level` is `info`, `warning` or `error`."""

    level: str
    event: str
    fields: dict[str, Any]
