"""Courtesy of a busy event loop towards the thread it waits for.

A loop that never blocks lets go of the interpreter only for moments, too short for another thread to wake up in, and each
such moment restarts that thread's claim to it. A commit, which needs the interpreter about a dozen times, then took
seconds (measured: up to 36 s). So while work is under way in a thread, the loop steps aside for a fraction of a
millisecond every now and then. A loop that has nothing to do has let go of the interpreter anyway, and is asked more rarely.
"""

import asyncio
import threading
import time
from typing import Final

_FIRST_S: Final = 0.008
_EVERY_S: Final = 0.001
_BUSY_SHARE: Final = 0.5
"""A loop that uses less of the time than this leaves the interpreter to the thread."""
_ASIDE_S_MAX: Final = 0.000_25


class Courtesy:
    """Knows whether work is under way in one thread. `began` and `ended` belong to the event loop, `let_go` to the thread."""

    def __init__(self) -> None:
        self._alarm: asyncio.TimerHandle | None = None
        self._pause_s = _EVERY_S
        self._looked = (0.0, 0.0)
        self._let_go = threading.Event()

    def began(self) -> None:
        """Note that work was handed to the thread."""
        if self._alarm is None:
            self._pause_s = _EVERY_S
            self._looked = (time.monotonic(), time.thread_time())
            self._alarm = asyncio.get_running_loop().call_later(_FIRST_S, self._step_aside)

    def ended(self) -> None:
        """Note that all work is done."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def let_go(self) -> None:
        """Tell the loop that the thread can do without the interpreter for a while."""
        self._let_go.set()

    def _step_aside(self) -> None:
        (began_s, used_s), self._looked = self._looked, (time.monotonic(), time.thread_time())
        if self._looked[1] - used_s >= _BUSY_SHARE * (self._looked[0] - began_s):
            self._let_go.clear()
            self._let_go.wait(_ASIDE_S_MAX)
            self._pause_s = _EVERY_S
        else:
            self._pause_s *= 2
        self._alarm = asyncio.get_running_loop().call_later(self._pause_s, self._step_aside)
