"""Where work on a batch runs: on the event loop, or in a thread when the batch is so large that other requests would
wait."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

A = TypeVarTuple("A")
T = TypeVar("T")


async def run_off_loop(large: bool, work: Callable[[*A], T], *arguments: *A) -> T:
    """Return the result of the work, which runs in a thread if it is large. It must not touch state that other tasks
    change meanwhile."""
    return await asyncio.to_thread(work, *arguments) if large else work(*arguments)
