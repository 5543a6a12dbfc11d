"""The security log: counted in full, written at a bounded rate, as anybody who can connect can cause its events."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from clarion.domain.limits_processes import SECURITY_LINES_MAX, SECURITY_LINES_MS
from clarion.domain.security_events import SecurityEvent

SECURITY: Final = "security"
"""The event of its log lines; their `name` is that of the `SecurityEvent`."""

Write = Callable[..., None]
"""Writes a log line of an event and its fields."""


class SecurityLog:
    """Writes at most `SECURITY_LINES_MAX` lines of each event in `SECURITY_LINES_MS`. The first line after that time
    says how many were left out."""

    def __init__(self, write: Write, now_s: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._now_s = now_s
        self._until_s = 0.0
        self._lines: defaultdict[SecurityEvent, int] = defaultdict(int)

    def record(self, event: SecurityEvent, fields: dict[str, Any]) -> None:
        """Write an event, or count it as left out."""
        now_s = self._now_s()
        if now_s >= self._until_s:
            self.report_left_out()
            self._until_s = now_s + SECURITY_LINES_MS / 1000
        self._lines[event] += 1
        if self._lines[event] <= SECURITY_LINES_MAX:
            self._write(SECURITY, name=event.value, **fields)

    def report_left_out(self) -> None:
        """Write how many lines of each event were left out until now."""
        lines, self._lines = self._lines, defaultdict(int)
        for event, number in lines.items():
            if number > SECURITY_LINES_MAX:
                self._write(SECURITY, name=event.value, left_out=number - SECURITY_LINES_MAX)
