"""An allowance of CPU time that consecutive renders share where other work waits for the thread, such as on an event
loop."""

from contextvars import ContextVar
from typing import Final

_NS_A_MS: Final = 1_000_000


class Allowance:
    """A given amount of CPU time of one thread, counted from the first read of the clock: short renders never read
    it."""

    __slots__ = ("_end_ns", "_most_ns")

    def __init__(self, cpu_ms: int) -> None:
        self._most_ns = cpu_ms * _NS_A_MS
        self._end_ns = 0

    @property
    def begun(self) -> bool:
        """Whether the clock was read since the last `renew`."""
        return self._end_ns > 0

    def renew(self) -> None:
        """Allow the full amount again."""
        self._end_ns = 0

    def end_ns(self, now_ns: int) -> int:
        """Return the time, on the thread's CPU clock, at which it is used up."""
        if not self._end_ns:
            self._end_ns = now_ns + self._most_ns
        return self._end_ns


ALLOWANCE: Final[ContextVar[Allowance | None]] = ContextVar("allowance", default=None)
"""The allowance of the current context; None: each render's own limit."""


def end_ns(now_ns: int, cpu_ms: int) -> int:
    """Return the time at which a render limited to `cpu_ms` has to end, earlier if the current allowance ends
    earlier."""
    most_ns, allowance = now_ns + cpu_ms * _NS_A_MS, ALLOWANCE.get()
    return most_ns if allowance is None else min(most_ns, allowance.end_ns(now_ns))
