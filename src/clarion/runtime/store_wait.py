"""Waiting of loops for a store that does not answer: each goes on by itself when the store is back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from clarion.domain.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from clarion.domain.limits_processes import STORE_WAIT_MS_MAX
from clarion.ports.telemetry import Telemetry

UNANSWERED: Final = (StoreUnavailable, Overloaded)
"""Errors of a store after which nothing was changed, and a loop may begin its step anew."""
FIRST_MS: Final = 100


class StoreWait:
    """The pauses of one loop, each twice as long as the one before it, up to `STORE_WAIT_MS_MAX`."""

    def __init__(self, telemetry: Telemetry, loop: str, first_ms: int = FIRST_MS) -> None:
        """`loop` names the loop in log lines."""
        self._telemetry = telemetry
        self._loop = loop
        self._first_ms = self._pause_ms = first_ms
        self._paused_ms = 0

    def answered(self) -> None:
        """Note that a step succeeded: the next pause is short again, and after a pause the log says so."""
        if self._paused_ms:
            self._telemetry.log("info", "store_answers", loop=self._loop, paused_ms=self._paused_ms)
        self._pause_ms, self._paused_ms = self._first_ms, 0

    async def pause(self, error: Exception, stop: asyncio.Event | None = None) -> None:
        """Log an error and wait, at most until `stop` is set."""
        self._telemetry.log("warning", "store_unavailable", loop=self._loop, detail=str(error))
        self._paused_ms += self._pause_ms
        pause_s, self._pause_ms = self._pause_ms / 1000, min(2 * self._pause_ms, STORE_WAIT_MS_MAX)
        if stop is None:
            await asyncio.sleep(pause_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stop.wait()


async def until_answered(
    call: Callable[[], Awaitable[None]],
    telemetry: Telemetry,
    loop: str,
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Await a call that may be repeated without harm, again for as long as the store does not answer and it is wanted."""
    waits = StoreWait(telemetry, loop)
    while is_wanted():
        try:
            await call()
        except (*UNANSWERED, OutcomeUnknown) as error:
            await waits.pause(error)
        else:
            waits.answered()
            return
