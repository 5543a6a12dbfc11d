"""The scheduler process: writes due timers to the journal and removes old frames."""

import asyncio
import os
import signal

import uvloop

from clarion.app.config.settings import Config
from clarion.app.processes.starts import this_start
from clarion.app.wiring.parts import Parts, Shared
from clarion.runtime.enrollment import Enrollment
from clarion.wait.worker import TimerWorker

HOUR_MS = 3_600_000


def run(config: Config) -> None:
    """Run until SIGTERM or SIGINT."""
    uvloop.run(_run(config))


async def _run(config: Config) -> None:
    parts = await Parts.open(config, "scheduler")
    parts.telemetry.follow_loop()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await work(parts, stop)
    finally:
        await parts.close()


async def work(parts: Parts, stop: asyncio.Event) -> None:
    """Fire timers until `stop` is set, enrolled, so that others know that somebody does."""
    enrollment = Enrollment(parts.store, this_start("scheduler", os.environ, parts.clock).owner, parts.telemetry)
    await enrollment.begin()
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(timers(parts).run(stop))
        jobs.create_task(enrollment.keep(stop))


def timers(parts: Shared) -> TimerWorker:
    """Return the worker that fires the timers of an installation."""
    retention_ms = parts.config.journal.retention_hours * HOUR_MS
    return TimerWorker(parts.streams, parts.store, parts.clock, parts.telemetry, retention_ms=retention_ms)
