"""Time and randomness as a port, so that every decision can be run under a virtual clock."""

from typing import Protocol


class Clock(Protocol):
    """Wall and monotonic time plus randomness of one process."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        ...

    def monotonic_ms(self) -> int:
        """Return milliseconds of a clock that never goes back."""
        ...

    def entropy(self, size: int) -> bytes:
        """Return unpredictable bytes."""
        ...

    def jitter(self) -> float:
        """Return a number in [0, 1) for spreading retries."""
        ...
