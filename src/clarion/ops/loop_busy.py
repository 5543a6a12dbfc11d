"""How long an event loop is busy without a pause (`clarion_loop_busy_seconds`), measured in two ways at very low cost.

Blocks: stages time the CPU of their blocks that do not await anyway (`Telemetry.cpu`). A block of at least
`STRETCH_S_MIN` on the loop's thread is reported under its stage. This is exact for one callback, and misses code that
no stage times.

Turns: a timer of the loop is due every `BEAT_S`. Its delay, but at most the CPU time that the thread used meanwhile, is
reported as `turn`. This covers everything that runs on the loop, but a turn may hold many callbacks, up to `BEAT_S` of
it is missed, and so are turns that end before the timer is due. An idle loop is measured less and less often, down to
once per `IDLE_BEAT_S`, at whole seconds, when it wakes for other reasons, too: the first turn of new work may be
missed. A thread that only waits for a core is not busy.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

BEAT_S: Final = 0.05
IDLE_BEAT_S: Final = 1.0
IDLE_SHARE: Final = 0.25
"""A loop that used a smaller share of the time than this is idle."""
STRETCH_S_MIN: Final = 0.01
"""Shorter blocks and turns are not reported: there are too many."""
TURN: Final = "turn"


def on_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None


class LoopBeat:
    """Measures the turns of the running loop. `report` gets seconds of CPU; `each` is called at every beat."""

    def __init__(
        self,
        report: Callable[[float], None],
        clock: Callable[[], float] = time.thread_time,
        each: Callable[[], None] = lambda: None,
    ) -> None:
        self._report = report
        self._each = each
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._cpu_s = clock()
        self._beat_s = BEAT_S
        self._next()

    def _next(self) -> None:
        now_s = self._loop.time()
        self._due_s = (
            now_s + self._beat_s if self._beat_s < IDLE_BEAT_S else now_s // IDLE_BEAT_S * IDLE_BEAT_S + IDLE_BEAT_S
        )
        self._loop.call_at(self._due_s, self._measure)

    def _measure(self) -> None:
        now_s = self._clock()
        used_s, self._cpu_s = now_s - self._cpu_s, now_s
        busy_s = min(self._loop.time() - self._due_s, used_s)
        self._beat_s = min(2 * self._beat_s, IDLE_BEAT_S) if used_s < IDLE_SHARE * self._beat_s else BEAT_S
        if busy_s >= STRETCH_S_MIN:
            self._report(busy_s)
        self._each()
        self._next()
