"""Virtual time, and random values that are the same in every run."""

import asyncio
from random import Random


class LoopClock:
    """Implements `ports.clock.Clock`: both clocks advance with the loop's time, as in a running installation. The seed
    determines all random values."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ms: int, seed: int) -> None:
        self._loop = loop
        self._chance = Random(seed)
        self._start_ms = start_ms

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return self._start_ms + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        """Return the elapsed time of the loop in milliseconds."""
        return int(self._loop.time() * 1000)

    def entropy(self, size: int) -> bytes:
        """Return bytes that are the same in every run of a seed."""
        return self._chance.randbytes(size)

    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return self._chance.random()
