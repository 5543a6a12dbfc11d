"""Where work on a batch is done: here, on the event loop, or in a thread when the batch is so large that others would wait."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

A = TypeVarTuple("A")
T = TypeVar("T")


async def apart(large: bool, work: Callable[[*A], T], *arguments: *A) -> T:
    """Return what the work gives, done in a thread if it is large. It must touch nothing that others change meanwhile."""
    return await asyncio.to_thread(work, *arguments) if large else work(*arguments)
