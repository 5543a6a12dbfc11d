"""An event loop whose time is made up: waiting costs nothing, and the same work takes the same path every time."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Instead of sleeping until the next timer, it says that the time has come. `each_turn` is called once a turn."""

    def __init__(self, each_turn: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._now_s = 0.0
        self._each_turn = each_turn
        self._selector: Any  # asyncio's own; the one place where a loop waits
        self._really_select = self._selector.select
        self._selector.select = self._jump

    def time(self) -> float:
        """Return the seconds that have seemingly gone by."""
        return self._now_s

    def _jump(self, timeout_s: float | None) -> Any:
        if timeout_s is None:
            raise RuntimeError("everyone waits for something that will never happen")
        self._now_s += max(timeout_s, 0.0)
        if self._each_turn is not None:
            self._each_turn()
        return self._really_select(0)


class LoneLoop(VirtualLoop):
    """Does what is meant for threads by itself and at once: made-up time would not wait for them."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call the function and return its result, or its error, as a future that is done."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits the future gets it
            future.set_exception(error)
        return future


def run(work: Coroutine[Any, Any, T], each_turn: Callable[[], None] | None = None) -> T:
    """Run work under virtual time, without threads."""
    with asyncio.Runner(loop_factory=lambda: LoneLoop(each_turn)) as runner:
        return runner.run(work)
