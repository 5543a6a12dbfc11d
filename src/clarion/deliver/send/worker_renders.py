"""Renders messages: on the event loop where that is quick, in a thread where it is not.

Nothing slow runs on the event loop, not even the first time: templates to be compiled go to a thread, templates that
were slow before do, and a render that uses up its allowance on the loop is stopped and started again in a thread.
"""

import asyncio
from concurrent.futures import Executor
from time import perf_counter_ns, thread_time_ns
from typing import Any, Final

from clarion.content.gather import Contents
from clarion.content.render import NotCompiled
from clarion.domain.channel import Channel
from clarion.domain.fitting import Fitted
from clarion.domain.limits_content import LOOP_RENDER_CPU_MS_MAX
from clarion.domain.planned import PlannedDelivery
from clarion.ports.renderer import RenderError
from clarion.runtime.allowance import ALLOWANCE, Allowance

SLOW_RENDER_NS: Final = 20_000_000
"""A render that takes this long would block the event loop."""
QUICK_RENDERS: Final = 64
"""After this number of quick renders in a row, a slow template is rendered on the loop again."""
SLOW_TEMPLATES_MAX: Final = 4_096
"""Channels of templates that a process remembers as slow."""

_Place = tuple[str, str, Channel]


class Renders:
    """Renders for the senders of one process. It remembers which channels of which templates are slow."""

    def __init__(self, contents: Contents, threads: Executor) -> None:
        self._contents = contents
        self._threads = threads
        self._slow: dict[_Place, int] = {}
        """How many renders were quick since the last slow one."""
        self._new: set[_Place] = set()
        self._allowance = Allowance(LOOP_RENDER_CPU_MS_MAX)

    def render_now(
        self, planned: PlannedDelivery, channel: Channel, unsubscribe_url: str, fitted: list[Fitted]
    ) -> dict[str, Any] | None:
        """Return the rendered parts of a delivery, as `Rendering.render` does; None when they have to be rendered in a
        thread."""
        place = planned.tenant, planned.template, channel
        if self._slow and place in self._slow:
            return None
        began_ns = perf_counter_ns()
        self._allowance.renew()
        outer = ALLOWANCE.set(self._allowance)
        try:
            return self._contents.render(planned, channel, unsubscribe_url, fitted, at_once=True)
        except NotCompiled:
            self._new.add(place)
            return None
        except RenderError:
            if not self._allowance.begun:
                raise
            return None  # it may have been stopped; in the thread it has the full time limit
        finally:
            ALLOWANCE.reset(outer)
            # By the wall clock, which is cheaper to read; the thread measures whether the template or the load was
            # slow.
            if perf_counter_ns() - began_ns >= SLOW_RENDER_NS:
                self._note(place, quick=False)

    async def render_in_thread(
        self, planned: PlannedDelivery, channel: Channel, unsubscribe_url: str, fitted: list[Fitted]
    ) -> dict[str, Any]:
        """Return the rendered parts from a thread."""
        cpu_ns = 0

        def render() -> dict[str, Any]:
            nonlocal cpu_ns
            began_ns = thread_time_ns()
            try:
                return self._contents.render(planned, channel, unsubscribe_url, fitted)
            finally:
                cpu_ns = thread_time_ns() - began_ns

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, render)
        finally:
            place, quick = (planned.tenant, planned.template, channel), cpu_ns < SLOW_RENDER_NS
            if place in self._new:
                self._new.discard(place)  # most of the time was compilation, which is not repeated
            elif place in self._slow or not quick:
                self._note(place, quick=quick)

    def _note(self, place: _Place, *, quick: bool) -> None:
        """Count how a render went; a slow template counts as quick again after `QUICK_RENDERS` quick ones."""
        number = self._slow.pop(place, 0) + 1 if quick else 0
        if number < QUICK_RENDERS:
            if len(self._slow) >= SLOW_TEMPLATES_MAX:
                del self._slow[next(iter(self._slow))]
            self._slow[place] = number
