"""The system's clock and random numbers."""

import random
import secrets
import time


class SystemClock:
    """Implements `ports.clock.Clock` over the operating system's time and randomness."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return the milliseconds since a fixed moment; the value never decreases."""
        return time.monotonic_ns() // 1_000_000

    def entropy(self, size: int) -> bytes:
        """Return `size` bytes from the operating system's random number generator."""
        return secrets.token_bytes(size)

    def jitter(self) -> float:
        """Return a random number in [0, 1)."""
        return random.random()
