"""Log lines of a decision, as values; the caller of the decision writes them."""

from typing import Any, NamedTuple


class LogLine(NamedTuple):
    """One log line; `level` is `info`, `warning` or `error`."""

    level: str
    event: str
    fields: dict[str, Any]
