"""Work that takes milliseconds of the event loop, one piece a turn. The pieces of many connections that are ready at the same
time would otherwise run in one turn, which delays all other requests by their sum, several times each."""

import asyncio
from typing import Self


class OneATurn:
    """An asynchronous context for a piece of work; the next piece begins in a later turn of the loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self._lock.release()
