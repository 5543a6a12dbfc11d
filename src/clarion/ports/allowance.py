"""CPU time that renders one after the other may use together where others wait for the thread, such as on an event loop."""

from contextvars import ContextVar
from typing import Final

_NS_A_MS: Final = 1_000_000


class Allowance:
    """So much CPU time of one thread, from the first look at the clock on: short renders never look."""

    __slots__ = ("_end_ns", "_most_ns")

    def __init__(self, cpu_ms: int) -> None:
        self._most_ns = cpu_ms * _NS_A_MS
        self._end_ns = 0

    @property
    def begun(self) -> bool:
        """Whether anybody has looked at the clock since it was renewed."""
        return self._end_ns > 0

    def renew(self) -> None:
        """Allow all of it again."""
        self._end_ns = 0

    def end_ns(self, now_ns: int) -> int:
        """Return when it is used up, by the thread's CPU clock."""
        if not self._end_ns:
            self._end_ns = now_ns + self._most_ns
        return self._end_ns


ALLOWANCE: Final[ContextVar[Allowance | None]] = ContextVar("allowance", default=None)
"""What whoever renders here has allowed; None: whatever a render may take anyway."""


def end_ns(now_ns: int, cpu_ms: int) -> int:
    """Return when a render that may take so long has to end: earlier where less is allowed."""
    most_ns, allowance = now_ns + cpu_ms * _NS_A_MS, ALLOWANCE.get()
    return most_ns if allowance is None else min(most_ns, allowance.end_ns(now_ns))
