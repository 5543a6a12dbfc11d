"""API, worker, scheduler and gateway in one process and one event loop, which stores in memory require."""

import asyncio

import uvloop

from clarion.app.config.settings import Config
from clarion.app.processes import api, gateway, gc_tuning, scheduler, workers
from clarion.app.wiring.parts import Parts


def run(config: Config) -> None:
    """Serve and work until SIGTERM or SIGINT, then finish the work under way. Raises `OperatorError` as `api.serve`
    does."""
    uvloop.run(_run(config))


async def _run(config: Config) -> None:
    parts = await Parts.open(config, "all-in-one")
    parts.telemetry.follow_loop()
    gc_tuning.tune()
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(workers.work(parts, 0, workers.STAGES, stop))
            group.create_task(scheduler.work(parts, stop))
            if config.gateway.port:
                group.create_task(gateway.serve(parts))
            try:
                await api.serve(parts)
            finally:
                stop.set()
    finally:
        await parts.close()
