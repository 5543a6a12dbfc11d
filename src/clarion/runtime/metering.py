"""Measuring the CPU time of awaited work: only the time that a thread spends in it, not that of other tasks while it
waits."""

import asyncio
import time
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_Awaited = Coroutine[Any, Any, T]


class Meter:
    """Adds up the CPU time of coroutines, including those that they run by `together`: the sum, and the longest stretch
    without a switch to another task (ns)."""

    __slots__ = ("longest_ns", "spent_ns")

    def __init__(self) -> None:
        self.spent_ns = 0
        self.longest_ns = 0

    async def run(self, work: _Awaited[T]) -> T:
        """Return the result of a coroutine."""
        token = _METER.set(self)
        try:
            return await self._steps(work)
        finally:
            _METER.reset(token)

    async def measured(self, work: _Awaited[T]) -> T:
        """Return the result of a coroutine that runs as a task of its own."""
        return await self._steps(work)

    @coroutine
    def _steps(self, work: _Awaited[T]) -> Generator[Any, Any, T]:
        answer: Any = None
        failure: BaseException | None = None
        while True:
            began_ns = time.thread_time_ns()
            try:
                awaited = work.send(answer) if failure is None else work.throw(failure)
            except StopIteration as done:
                result: T = done.value
                return result
            finally:
                stretch_ns = time.thread_time_ns() - began_ns
                self.spent_ns += stretch_ns
                self.longest_ns = max(self.longest_ns, stretch_ns)
            answer = failure = None
            try:
                answer = yield awaited
            except BaseException as error:  # noqa: BLE001 - cancellation, too, is passed on to the coroutine
                failure = error


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


async def together(*work: _Awaited[Any]) -> list[Any]:
    """Return the results of coroutines that run concurrently, so that their waits overlap. Raises the exception of one
    that fails, after the other coroutines have ended."""
    if len(work) < 2:
        return [await one for one in work]
    meter = _METER.get()
    running = work if meter is None else [meter.measured(one) for one in work]
    found = await asyncio.gather(*running, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found
