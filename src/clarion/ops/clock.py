"""The real clock and the real dice."""

import random
import secrets
import time


class SystemClock:
    """`ports.clock.Clock` over the machine's own time and randomness."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds since some fixed moment; never goes back."""
        return time.monotonic_ns() // 1_000_000

    def entropy(self, size: int) -> bytes:
        """Return bytes from the operating system's generator."""
        return secrets.token_bytes(size)

    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()
