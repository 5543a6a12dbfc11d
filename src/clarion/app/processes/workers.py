"""A worker process: plans, delivers and records for the partitions it leases."""

import asyncio
import os
import signal
import socket
from collections.abc import Collection, Coroutine
from typing import Any

import uvloop

from clarion.app.config.settings import Config
from clarion.app.processes import gc_tuning
from clarion.app.processes.starts import RoleStart, this_start
from clarion.app.wiring.assembly import (
    accounts,
    broadcast_worker,
    channel_pool,
    fetch_pool,
    plan_worker,
    record_worker,
    sender,
)
from clarion.app.wiring.parts import Parts
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_handover import Handovers
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import CHANNELS, Channel
from clarion.journal import topics
from clarion.runtime.consumer import LeasedPartitions, LeaseRenewer, shift_ms
from clarion.runtime.definition_refresh import keep_definitions_fresh
from clarion.runtime.enrollment import Enrollment

STAGES = ("plan", "deliver", "record")


def run(config: Config, index: int, stages: Collection[str] = STAGES, channels: Collection[Channel] = CHANNELS) -> None:
    """Work until SIGTERM or SIGINT, then finish the work under way."""
    uvloop.run(_work(config, index, stages, channels))


async def _work(config: Config, index: int, stages: Collection[str], channels: Collection[Channel]) -> None:
    parts = await Parts.open(config, f"worker-{index}")
    parts.telemetry.follow_loop()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc_tuning.tune()
    try:
        await work(parts, index, stages, stop, channels)
    finally:
        await parts.close()


async def work(
    parts: Parts,
    index: int,
    stages: Collection[str],
    stop: asyncio.Event,
    channels: Collection[Channel] = CHANNELS,
) -> None:
    """Run stages until `stop` is set, then finish the work under way. The deliver stage sends on `channels` alone."""
    start = this_start(f"worker-{index}", os.environ, parts.clock)
    parts.telemetry.log("info", "worker_started", stages=list(stages), partitions=parts.store.partitions)
    if start.ended and (freed := await parts.store.release_dead(start.ended)):
        parts.telemetry.log("info", "leases_freed", number=freed)
    enrollment = Enrollment(parts.store, start.owner, parts.telemetry)
    await enrollment.begin()
    leases, handovers = _Leases(parts, index, start), Handovers()
    # The record stage stops last, so that it folds the last outcome events of the other stages. Leases are held to the
    # end.
    recorded, released = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as keeping:
        keeping.create_task(leases.renewer.run(released))
        keeping.create_task(enrollment.keep(released))
        async with asyncio.TaskGroup() as tasks:
            if "record" in stages:
                tasks.create_task(record_worker(parts, leases.of(topics.GROUP_RECORD)).run(recorded))
            async with asyncio.TaskGroup() as earlier:
                if "plan" in stages:
                    for job in _plan(parts, leases, handovers, stop):
                        earlier.create_task(job)
                if "deliver" in stages:
                    for job in _deliver(parts, leases, handovers, channels, stop):
                        earlier.create_task(job)
                earlier.create_task(keep_definitions_fresh(parts.directory, parts.telemetry, stop))
            recorded.set()
        released.set()


class _Leases:
    """The leases of one worker, by group."""

    def __init__(self, parts: Parts, index: int, start: RoleStart) -> None:
        self._parts = parts
        self.owner = start.owner
        # The same at each start, so that a worker takes over what it held before; no other machine has it.
        self.place = f"{socket.gethostname()}:{parts.config.data_dir.resolve()}:worker-{index}"
        self._index, self._count, self._ttl_ms = index, parts.config.worker_count, parts.config.lease.ttl_ms
        shift = shift_ms(index, self._count, self._ttl_ms)
        self.renewer = LeaseRenewer(parts.store, parts.clock, self._ttl_ms, shift)

    def of(self, group: str) -> LeasedPartitions:
        """Return the leases of a group's partitions."""
        parts = self._parts
        return LeasedPartitions(
            parts.store,
            group,
            self.owner,
            parts.clock,
            index=self._index,
            count=self._count,
            ttl_ms=self._ttl_ms,
            renewer=self.renewer,
        )


async def _leased(leases: LeasedPartitions, work: Coroutine[Any, Any, None]) -> None:
    """Run work under leases that are released only when it is over. A renewal that fails ends the work: without leases
    the work would idle and look alive."""
    release = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(leases.run(release))
        try:
            await work
        finally:
            release.set()


def _plan(parts: Parts, leases: _Leases, handovers: Handovers, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    of_singles, of_broadcasts = leases.of(topics.GROUP_PLAN), leases.of(topics.GROUP_BROADCAST)
    singles = plan_worker(parts, of_singles, fetch_pool(parts), handovers)
    broadcasts = broadcast_worker(parts, of_broadcasts)
    return [_leased(of_singles, singles.run(stop)), _leased(of_broadcasts, broadcasts.run(stop))]


def _deliver(
    parts: Parts, leases: _Leases, handovers: Handovers, channels: Collection[Channel], stop: asyncio.Event
) -> list[Coroutine[Any, Any, None]]:
    sends, used = sender(parts, Sender), accounts(parts, leases.place)
    cancelled = CancellationCache(parts.store, parts.clock)
    jobs: list[Coroutine[Any, Any, None]] = []
    for channel in channels:
        of_channel = leases.of(topics.group_deliver(channel))
        pool = channel_pool(parts, of_channel, sends, used, cancelled, channel, leases.owner, handovers)
        jobs.append(_leased(of_channel, pool.run(stop)))
    return jobs
