"""A worker process: plan, deliver and record for the partitions it leases."""

import asyncio
import os
import signal
from collections.abc import Collection, Coroutine
from typing import Any

import uvloop

from clarion.app import garbage
from clarion.app.assembly import (
    accounts,
    broadcast_worker,
    channel_pool,
    fetch_pool,
    plan_worker,
    record_worker,
    sender,
)
from clarion.app.config import Config
from clarion.app.learning import keep_learning
from clarion.app.starts import Start, this_start
from clarion.app.wiring import Parts
from clarion.deliver.partition.gather_cancelled import Cancelled
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import CHANNELS
from clarion.journal import topics
from clarion.journal.consumer import LeasedPartitions

STAGES = ("plan", "deliver", "record")


def run(config: Config, index: int, stages: Collection[str] = STAGES) -> None:
    """Work until SIGTERM or SIGINT, then finish what was started."""
    uvloop.run(_work(config, index, stages))


async def _work(config: Config, index: int, stages: Collection[str]) -> None:
    parts = Parts(config, f"worker-{index}")
    parts.telemetry.follow_loop()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    garbage.tune()
    try:
        await work(parts, index, stages, stop)
    finally:
        await parts.close()


async def work(parts: Parts, index: int, stages: Collection[str], stop: asyncio.Event) -> None:
    """Run stages until `stop` is set, then finish what was started."""
    start = this_start(f"worker-{index}", os.environ, parts.clock)
    parts.telemetry.log("info", "worker_started", stages=list(stages), partitions=parts.store.partitions)
    if start.ended and (freed := await parts.store.vacate(start.ended)):
        parts.telemetry.log("info", "leases_freed", number=freed)
    # The record stage stops last, so that it folds what the others finish with.
    recorded = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        if "record" in stages:
            tasks.create_task(record_worker(parts, _leases(parts, topics.GROUP_RECORD, index, start)).run(recorded))
        async with asyncio.TaskGroup() as earlier:
            if "plan" in stages:
                for job in _plan(parts, index, start, stop):
                    earlier.create_task(job)
            if "deliver" in stages:
                for job in _deliver(parts, index, start, stop):
                    earlier.create_task(job)
            earlier.create_task(keep_learning(parts.directory, parts.telemetry, stop))
        recorded.set()


def _leases(parts: Parts, group: str, index: int, start: Start) -> LeasedPartitions:
    count = parts.config.worker_count
    return LeasedPartitions(
        parts.store, group, start.owner, parts.clock, index=index, count=count, ttl_ms=parts.config.lease.ttl_ms
    )


async def _leased(leases: LeasedPartitions, work: Coroutine[Any, Any, None]) -> None:
    """Run work under leases that are given back only when it is over. A keeper that fails ends the work: it would idle
    without leases and look alive."""
    release = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(leases.run(release))
        try:
            await work
        finally:
            release.set()


def _plan(parts: Parts, index: int, start: Start, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    leases = _leases(parts, topics.GROUP_PLAN, index, start)
    singles = plan_worker(parts, leases, fetch_pool(parts))
    broadcast_leases = _leases(parts, topics.GROUP_BROADCAST, index, start)
    broadcasts = broadcast_worker(parts, broadcast_leases)
    return [_leased(leases, singles.run(stop)), _leased(broadcast_leases, broadcasts.run(stop))]


def _deliver(parts: Parts, index: int, start: Start, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    sends, used = sender(parts, Sender), accounts(parts, f"worker-{index}")
    cancelled = Cancelled(parts.store, parts.clock)
    jobs: list[Coroutine[Any, Any, None]] = []
    for channel in CHANNELS:
        leases = _leases(parts, topics.group_deliver(channel), index, start)
        pool = channel_pool(parts, leases, sends, used, cancelled, channel, start.owner)
        jobs.append(_leased(leases, pool.run(stop)))
    return jobs
