"""A clock over an event loop with virtual time, and helpers of stage tests for both."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from clarion.testing.loop import VirtualLoop, run

__all__ = ["START_MS", "LoopClock", "VirtualLoop", "kill", "run", "until"]
START_MS = 1_700_000_000_000


class LoopClock:
    """`ports.clock.Clock` over the running loop's time; `wall_ahead_ms` moves the wall clock alone, back too."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self.wall_ahead_ms = 0

    def monotonic_ms(self) -> int:
        try:
            return int(asyncio.get_running_loop().time() * 1000)
        except RuntimeError:
            return 0

    def now_ms(self) -> int:
        return START_MS + self.wall_ahead_ms + self.monotonic_ms()

    def entropy(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def jitter(self) -> float:
        return self._random.random()


async def until(condition: Callable[[], bool], *, limit_s: float = 600.0, every_s: float = 0.01) -> None:
    """Wait until a condition holds. Raises `AssertionError` when it never does."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while not condition():
        assert loop.time() < end_s, "the condition never held"
        await asyncio.sleep(every_s)


async def kill(*tasks: "asyncio.Task[Any]") -> None:
    """End tasks as a crash does: none of their remaining steps run."""
    alive = [task for task in tasks if not task.done()]
    for task in alive:
        task.cancel()
    for task in alive:
        with suppress(asyncio.CancelledError):
            await task
