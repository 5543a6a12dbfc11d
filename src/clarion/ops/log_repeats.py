"""Repeats of a warning or error: the first few of a minute are written, and of the others their number."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any, Final

from clarion.domain.limits_processes import LOG_REPEATS_KEPT_MAX, LOG_REPEATS_MAX, LOG_REPEATS_MS
from clarion.ops.security_log import SECURITY

LEFT_OUT: Final = "log_lines_left_out"
_CHANGING: Final = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d{3,}", re.IGNORECASE)
"""Parts of a text that differ between repeats: ids, addresses in memory, counts, times."""
_BOUNDED_ELSEWHERE: Final = frozenset({LEFT_OUT, SECURITY})
_IGNORED: Final = frozenset({"timestamp", "exc_info", "_record", "_from_structlog"})

_Key = tuple[str, ...]


class _Window:
    """The lines of one kind since a time."""

    __slots__ = ("event", "left_out", "until_s", "written")

    def __init__(self, event: str, until_s: float) -> None:
        self.event = event
        self.until_s = until_s
        self.written = 0
        self.left_out = 0


class Repeats(logging.Filter):
    """Passes `LOG_REPEATS_MAX` lines of one kind in `LOG_REPEATS_MS`. Their kind is the event with its fields, without
    numbers and ids, and the place where its exception was raised. `report` gets the event and the number of lines left
    out, with the first line of any kind after that time, and from `report_all`."""

    def __init__(self, report: Callable[[str, int], None], now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._report = report
        self._now_s = now_s
        self._windows: dict[_Key, _Window] = {}
        self._next_s = float("inf")
        """When the first window in which lines were left out ends."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        now_s = self._now_s()
        if now_s >= self._next_s:
            self._report_ended(now_s)
        if record.levelno < logging.WARNING or _event_of(record) in _BOUNDED_ELSEWHERE:
            return True
        key = _kind_of(record)
        window = self._windows.get(key)
        if window is None or now_s >= window.until_s:
            if len(self._windows) >= LOG_REPEATS_KEPT_MAX:
                self.report_all()
            window = self._windows[key] = _Window(_event_of(record), now_s + LOG_REPEATS_MS / 1000)
        if window.written < LOG_REPEATS_MAX:
            window.written += 1
            return True
        window.left_out += 1
        self._next_s = min(self._next_s, window.until_s)
        return False

    def report_all(self) -> None:
        """Report what was left out until now, and forget all lines."""
        windows, self._windows, self._next_s = self._windows, {}, float("inf")
        self._say(windows.values())

    def _report_ended(self, now_s: float) -> None:
        ended = {key: window for key, window in self._windows.items() if now_s >= window.until_s}
        for key in ended:
            del self._windows[key]
        self._next_s = min((w.until_s for w in self._windows.values() if w.left_out), default=float("inf"))
        self._say(ended.values())

    def _say(self, windows: Any) -> None:
        for window in windows:
            if window.left_out:
                self._report(window.event, window.left_out)


def _event_of(record: logging.LogRecord) -> str:
    return str(record.msg.get("event", "")) if isinstance(record.msg, dict) else str(record.msg)


def _kind_of(record: logging.LogRecord) -> _Key:
    fields: Any = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
    texts = [f"{name}={value}" for name, value in sorted(fields.items()) if name not in _IGNORED]
    return record.name, record.levelname, _place(record, fields), *(_CHANGING.sub("#", text) for text in texts)


def _place(record: logging.LogRecord, fields: Any) -> str:
    """Return the type of a line's exception and where it was raised, "" when there is none."""
    info = record.exc_info or fields.get("exc_info")
    error = info[1] if isinstance(info, tuple) else info
    if not isinstance(error, BaseException):
        return ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        f"{type(error).__name__} {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else repr(type(error))
    )
