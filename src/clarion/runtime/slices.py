"""Long work in slices, so that an event loop is never kept from other work for long."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from clarion.domain.limits_processes import LOOP_SLICE_MS_MAX

_SLICE_S: Final = LOOP_SLICE_MS_MAX / 1000
_PAUSE_S: Final = 0.0005
"""Long enough for the event loop to get the interpreter's lock; a thread that pauses for no time takes it back."""

A = TypeVar("A")
T = TypeVar("T")


def sliced(items: Iterable[A]) -> Iterator[A]:
    """Yield the items in a thread that is not the event loop's, and pause whenever `LOOP_SLICE_MS_MAX` of CPU time were
    used: otherwise each turn of the loop would wait for the interpreter's lock."""
    began_s = time.thread_time()
    for item in items:
        yield item
        if time.thread_time() - began_s > _SLICE_S:
            time.sleep(_PAUSE_S)
            began_s = time.thread_time()


async def each(work: Callable[[A], T], items: Iterable[A], *, in_thread: bool) -> list[T]:
    """Return the results of work on items: in a thread, which then must not touch state that other tasks change, or on
    the event loop, which runs other tasks whenever `LOOP_SLICE_MS_MAX` have passed."""
    if in_thread:
        return await asyncio.to_thread(lambda: [work(item) for item in sliced(items)])
    loop, results = asyncio.get_running_loop(), list[T]()
    began_s = loop.time()  # the loop's clock: under virtual time, what runs when depends on nothing real
    for item in items:
        results.append(work(item))
        if loop.time() - began_s > _SLICE_S:
            await asyncio.sleep(0)
            began_s = loop.time()
    return results
