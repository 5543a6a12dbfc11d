"""Releases the GIL from a busy event loop for the thread it waits for.

A loop that never blocks releases the interpreter lock only for moments, too short for another thread to wake up, and
each such moment restarts that thread's request for the lock. A commit, which needs the lock about a dozen times, then
took seconds (measured: up to 36 s). So while work is running in the thread, the loop waits for a fraction of a
millisecond at intervals. An idle loop has released the lock anyway, so it waits less often.
"""

import asyncio
import threading
import time
from typing import Final

_FIRST_S: Final = 0.008
_EVERY_S: Final = 0.001
_BUSY_SHARE: Final = 0.5
"""A loop that uses a smaller share of the time than this is idle and leaves the interpreter to the thread."""
_YIELD_S_MAX: Final = 0.000_25


class GilYield:
    """Makes the loop yield while work is running in one thread. `began` and `ended` belong to the event loop, `release`
    to the thread."""

    def __init__(self) -> None:
        self._alarm: asyncio.TimerHandle | None = None
        self._pause_s = _EVERY_S
        self._looked = (0.0, 0.0)
        self._let_go = threading.Event()

    def began(self) -> None:
        """Begin to yield: work was passed to the thread."""
        if self._alarm is None:
            self._pause_s = _EVERY_S
            self._looked = (time.monotonic(), time.thread_time())
            self._alarm = asyncio.get_running_loop().call_later(_FIRST_S, self._yield)

    def ended(self) -> None:
        """Stop yielding: all work is done."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def release(self) -> None:
        """End the loop's current wait: the thread does not need the interpreter for a while."""
        self._let_go.set()

    def _yield(self) -> None:
        (began_s, used_s), self._looked = self._looked, (time.monotonic(), time.thread_time())
        if self._looked[1] - used_s >= _BUSY_SHARE * (self._looked[0] - began_s):
            self._let_go.clear()
            self._let_go.wait(_YIELD_S_MAX)
            self._pause_s = _EVERY_S
        else:
            self._pause_s *= 2
        self._alarm = asyncio.get_running_loop().call_later(self._pause_s, self._yield)
