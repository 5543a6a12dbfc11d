"""An event loop with virtual time: waiting costs no real time, and every run is deterministic."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that advances its time to the next timer instead of sleeping. `each_turn` is called once per iteration."""

    def __init__(self, each_turn: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._now_s = 0.0
        self._each_turn = each_turn
        self._selector: Any  # asyncio's own; the one place where a loop waits
        self._really_select = self._selector.select
        self._selector.select = self._jump

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def _jump(self, timeout_s: float | None) -> Any:
        if timeout_s is None:
            raise RuntimeError("everyone waits for something that will never happen")
        self._now_s += max(timeout_s, 0.0)
        if self._each_turn is not None:
            self._each_turn()
        return self._really_select(0)


class LoneLoop(VirtualLoop):
    """A loop that runs the work of executors itself and at once: virtual time would not wait for threads."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call the function and return a done future with its result or its error."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            future.set_exception(error)
        return future


def run(work: Coroutine[Any, Any, T], each_turn: Callable[[], None] | None = None) -> T:
    """Run work under virtual time, without threads, and return its result."""
    with asyncio.Runner(loop_factory=lambda: LoneLoop(each_turn)) as runner:
        return runner.run(work)
