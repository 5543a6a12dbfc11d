"""How long an event loop is kept busy at a stretch (`clarion_loop_busy_seconds`), seen from two sides that cost next to nothing.

Blocks: the stages time the CPU of what they do without awaiting anyway (`Telemetry.cpu`); a block on the loop's thread of at least `STRETCH_S_MIN` is
told under its stage. That is exact for one callback, and blind to what no stage times.

Turns: a timer of the loop goes off every `BEAT_S`. How late it is, and at most as much CPU as the thread used meanwhile, is told as `turn`. That sees
everything that runs on the loop, but a turn may hold many callbacks, up to `BEAT_S` of it is missed, and so are turns that end before the timer
is due. A loop with next to nothing to do is looked at ever more rarely, down to every `IDLE_BEAT_S`, at whole seconds, when it wakes for other
things, too: the turn with which its work begins may be missed. A thread that only waits for a core is not busy.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

BEAT_S: Final = 0.05
IDLE_BEAT_S: Final = 1.0
IDLE_SHARE: Final = 0.25
"""A loop that used less of the time than this has little to do."""
STRETCH_S_MIN: Final = 0.01
"""Shorter stretches are not told: there are too many."""
TURN: Final = "turn"


def on_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None


class LoopBeat:
    """Watches the turns of the loop it is started in. `tell` takes seconds of CPU; `each` is called at every beat."""

    def __init__(
        self,
        tell: Callable[[float], None],
        clock: Callable[[], float] = time.thread_time,
        each: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
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
        self._loop.call_at(self._due_s, self._beat)

    def _beat(self) -> None:
        now_s = self._clock()
        used_s, self._cpu_s = now_s - self._cpu_s, now_s
        busy_s = min(self._loop.time() - self._due_s, used_s)
        self._beat_s = min(2 * self._beat_s, IDLE_BEAT_S) if used_s < IDLE_SHARE * self._beat_s else BEAT_S
        if busy_s >= STRETCH_S_MIN:
            self._tell(busy_s)
        self._each()
        self._next()
