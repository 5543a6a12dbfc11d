"""Renders what is sent: at once where that is quick, in a thread where it was slow before."""

import asyncio
from concurrent.futures import Executor
from time import perf_counter_ns, thread_time_ns
from typing import Any, Final

from clarion.content.gather import Contents
from clarion.domain.channel import Channel
from clarion.domain.fitting import Fitted
from clarion.domain.planned import PlannedDelivery

SLOW_RENDER_NS: Final = 20_000_000
"""A render that takes as long would keep everybody else on the event loop waiting."""
QUICK_RENDERS: Final = 64
"""So many quick renders in a row are needed for a template that was slow to be rendered on the loop again."""
SLOW_TEMPLATES_MAX: Final = 4_096
"""Channels of templates that a process remembers as slow."""

_Place = tuple[str, str, Channel]


class Renders:
    """Renders for the senders of one process. It learns which channels of which templates are slow."""

    def __init__(self, contents: Contents, threads: Executor) -> None:
        self._contents = contents
        self._threads = threads
        self._slow: dict[_Place, int] = {}
        """How many renders were quick since the last slow one."""

    def is_slow(self, planned: PlannedDelivery, channel: Channel) -> bool:
        """Return whether a delivery is to be rendered by `apart`."""
        return bool(self._slow) and (planned.tenant, planned.template, channel) in self._slow

    def now(
        self, planned: PlannedDelivery, channel: Channel, unsubscribe_url: str, fitted: list[Fitted]
    ) -> dict[str, Any]:
        """Return the rendered parts of a delivery, as `Rendering.render` does."""
        began_ns = perf_counter_ns()
        try:
            return self._contents.render(planned, channel, unsubscribe_url, fitted)
        finally:
            # By the clock on the wall, which costs less to read; whether it was busy with others is found out in the thread.
            if perf_counter_ns() - began_ns >= SLOW_RENDER_NS:
                self._note((planned.tenant, planned.template, channel), quick=False)

    async def apart(
        self, planned: PlannedDelivery, channel: Channel, unsubscribe_url: str, fitted: list[Fitted]
    ) -> dict[str, Any]:
        """Return the same from a thread."""
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
            place = planned.tenant, planned.template, channel
            self._note(place, quick=cpu_ns < SLOW_RENDER_NS)

    def _note(self, place: _Place, *, quick: bool) -> None:
        """Take how long a render took; those of a slow one's template are quick again after many quick ones."""
        number = self._slow.pop(place, 0) + 1 if quick else 0
        if number < QUICK_RENDERS:
            if len(self._slow) >= SLOW_TEMPLATES_MAX:
                del self._slow[next(iter(self._slow))]
            self._slow[place] = number
