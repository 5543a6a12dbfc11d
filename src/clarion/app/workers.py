"""A worker process: plan, deliver and record for the partitions it leases."""

import asyncio
import signal
from collections.abc import Collection, Coroutine
from typing import Any

import uvloop

from clarion.app import garbage
from clarion.app.config import Config
from clarion.app.wiring import Parts
from clarion.deliver.partition.supplies import Supplies
from clarion.deliver.send.content import Contents
from clarion.deliver.send.worker import Sender
from clarion.deliver.worker import ChannelPool
from clarion.domain.channel import CHANNELS
from clarion.journal import topics
from clarion.journal.consumer import LeasedPartitions
from clarion.plan.assemble import step_planner
from clarion.plan.broadcast.pages import PagePlanner
from clarion.plan.broadcast.worker import BroadcastWorker
from clarion.plan.claims import CapTimes
from clarion.plan.facts import Facts
from clarion.plan.worker import PlanWorker
from clarion.plan.workflow.worker import FetchPool
from clarion.record.worker import RecordWorker

STAGES = ("plan", "deliver", "record")
PAGE_USERS = 5_000
WINDOW_FACTOR = 4
"""Deliveries read ahead per sender of a channel."""
OUTCOME_LINGER_MS = 20
"""How long results of attempts wait for a fuller frame."""
BROADCAST_BACKLOG_MAX = 200_000
"""Planned deliveries of a channel that may wait before broadcast planning pauses."""


def run(config: Config, index: int, stages: Collection[str] = STAGES) -> None:
    """Work until SIGTERM or SIGINT, then finish what was started."""
    uvloop.run(_work(config, index, stages))


async def _work(config: Config, index: int, stages: Collection[str]) -> None:
    parts = Parts(config, f"worker-{index}")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    garbage.tune()
    parts.telemetry.log("info", "worker_started", stages=list(stages), partitions=parts.journal.partitions)
    try:
        # The record stage stops last, so that it folds what the others finish with.
        recorded = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            if "record" in stages:
                tasks.create_task(_record(parts, index).run(recorded))
            async with asyncio.TaskGroup() as earlier:
                if "plan" in stages:
                    for job in _plan(parts, index, stop):
                        earlier.create_task(job)
                if "deliver" in stages:
                    for job in _deliver(parts, index, stop):
                        earlier.create_task(job)
                earlier.create_task(_wait(stop))
            recorded.set()
    finally:
        await parts.close()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


def _leases(parts: Parts, group: str, index: int) -> LeasedPartitions:
    count = parts.config.worker_count
    owner = f"worker-{index}"
    return LeasedPartitions(
        parts.journal, group, owner, parts.clock, index=index, count=count, ttl_ms=parts.config.lease.ttl_ms
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


def _record(parts: Parts, index: int) -> RecordWorker:
    return RecordWorker(
        parts.journal,
        parts.state,
        _leases(parts, topics.GROUP_RECORD, index),
        parts.clock,
        parts.telemetry,
        linger_ms=parts.config.record.linger_ms,
    )


def _plan(parts: Parts, index: int, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    plan = parts.config.plan
    leases = _leases(parts, topics.GROUP_PLAN, index)
    singles = PlanWorker(
        parts.journal,
        step_planner(parts.journal, parts.directory, parts.expressions, parts.state, parts.state, parts.telemetry),
        FetchPool(parts.journal, parts.http(), parts.clock, parts.telemetry),
        leases,
        parts.clock,
        parts.telemetry,
        batch_events=plan.batch_events,
        linger_ms=plan.linger_ms,
    )
    broadcast_leases = _leases(parts, topics.GROUP_BROADCAST, index)
    pages = PagePlanner(
        parts.directory,
        Facts(parts.directory),
        parts.renderer,
        CapTimes(parts.journal),
        parts.journal.partitions,
        PAGE_USERS,
    )
    broadcasts = BroadcastWorker(
        parts.journal, pages, broadcast_leases, parts.clock, parts.telemetry, backlog_max=BROADCAST_BACKLOG_MAX
    )
    return [_leased(leases, singles.run(stop)), _leased(broadcast_leases, broadcasts.run(stop))]


def _deliver(parts: Parts, index: int, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    contents = Contents(parts.directory, parts.renderer)
    sender = Sender(parts.directory, parts.vendors, contents, parts.http(), parts.smtp(), parts.clock, parts.telemetry)
    jobs: list[Coroutine[Any, Any, None]] = []
    for channel in CHANNELS:
        concurrency = getattr(parts.config.deliver.concurrency, channel.value)
        tools = Supplies(
            channel=channel,
            journal=parts.journal,
            sender=sender,
            states=parts.state,
            suppressions=parts.control.suppressions,
            clock=parts.clock,
            telemetry=parts.telemetry,
            policy=parts.policy(),
            worker=f"worker-{index}",
            window=concurrency * WINDOW_FACTOR,
            linger_ms=OUTCOME_LINGER_MS,
        )
        leases = _leases(parts, topics.group_deliver(channel), index)
        jobs.append(_leased(leases, ChannelPool(tools, leases, concurrency=concurrency).run(stop)))
    return jobs
