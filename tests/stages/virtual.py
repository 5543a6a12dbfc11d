"""An event loop and a clock whose time is made up: waiting costs nothing, and the same seed takes the same path."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
START_MS = 1_700_000_000_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """Instead of sleeping until the next timer, it says that the time has come. `each_turn` is called once a turn."""

    def __init__(self, each_turn: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._now_s = 0.0
        self._each_turn = each_turn
        self._really_select = self._selector.select
        self._selector.select = self._jump

    def time(self) -> float:
        return self._now_s

    def _jump(self, timeout_s: float | None) -> Any:
        if timeout_s is None:
            raise RuntimeError("everyone waits for something that will never happen")
        self._now_s += max(timeout_s, 0.0)
        if self._each_turn is not None:
            self._each_turn()
        return self._really_select(0)


def run(work: Coroutine[Any, Any, T], each_turn: Callable[[], None] | None = None) -> T:
    """Run work under virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(each_turn)) as runner:
        return runner.run(work)


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
    """Wait until something is so; fail when it never comes to be."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while not condition():
        assert loop.time() < end_s, "it never came to be"
        await asyncio.sleep(every_s)


async def kill(*tasks: "asyncio.Task[Any]") -> None:
    """End tasks as a crash does: nothing they meant to do afterwards happens."""
    alive = [task for task in tasks if not task.done()]
    for task in alive:
        task.cancel()
    for task in alive:
        with suppress(asyncio.CancelledError):
            await task
