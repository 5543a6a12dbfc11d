"""One pool per channel: a bounded number of senders serve all partitions of the channel that this process holds.

`concurrency` bounds the calls of one account; a quarter more senders serve the other accounts.
"""

import asyncio

from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker import PartitionConsumer
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.worker_queue import SPARE_SHARE, SendQueue
from clarion.domain.channel import Channel
from clarion.domain.errors import StaleLease, UnknownFrame
from clarion.domain.limits_delivery import HEALTH_USED_MS
from clarion.ports.stage_store import Lease
from clarion.runtime.consumer import LeasedPartitions
from clarion.runtime.store_wait import UNANSWERED, StoreWait

CHECK_MS = 50
"""How often leases and accounts are checked while there is work."""
RESTART_MS = 500
"""How long a consumer that the store did not answer pauses before the next one takes its partition."""
CALM_CHECK_MS = 200
"""How often accounts are checked until a moment after the last delivery."""


class ChannelPool:
    """Starts a consumer for every lease it is given and stops it when the lease is lost. Channels share nothing, so a
    slow provider of one channel cannot delay another channel."""

    def __init__(self, context: ChannelContext, leases: LeasedPartitions, *, concurrency: int) -> None:
        self._context = context
        self._leases = leases
        self._concurrency = concurrency
        self._queue = SendQueue(concurrency, context.clock)
        self._stopped: dict[int, Lease] = {}
        """Leases that were lost, and leases of partitions whose next frame needs another build: nothing more is read
        under them."""
        self._news = asyncio.Event()
        self._worked_ms = context.clock.monotonic_ms()
        leases.on_change = self._news.set

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; started deliveries are finished and recorded."""
        running: dict[int, tuple[Lease, asyncio.Task[None]]] = {}
        try:
            # A group, so that a sender that fails stops the pool instead of leaving its deliveries waiting for ever.
            async with asyncio.TaskGroup() as group:
                number = self._concurrency + -(-self._concurrency // SPARE_SHARE)
                senders = [group.create_task(self._serve()) for _ in range(number)]
                group.create_task(self._wake_at(stop))
                while not stop.is_set():
                    self._news.clear()
                    self._follow_leases(running, stop)
                    self._defer_stuck()
                    await self._context.accounts.sync()
                    await self._pause()
                await asyncio.gather(*(task for _, task in running.values()))
                for sender in senders:
                    sender.cancel()
        finally:
            for _, task in running.values():
                task.cancel()

    async def _pause(self) -> None:
        """Wait for the next check: briefly while deliveries are under way, longer until a moment after the last one,
        else until there is news."""
        now_ms = self._context.clock.monotonic_ms()
        if not self._queue.is_idle:
            self._worked_ms = now_ms
            await asyncio.sleep(CHECK_MS / 1000)
        elif self._context.accounts.is_due or now_ms - self._worked_ms <= HEALTH_USED_MS:
            await asyncio.sleep(CALM_CHECK_MS / 1000)
        else:
            await self._news.wait()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._news.set()

    def _follow_leases(self, running: dict[int, tuple[Lease, "asyncio.Task[None]"]], stop: asyncio.Event) -> None:
        """Start consumers of new leases and cancel those of lost ones. Raises the error of a consumer that failed."""
        held = self._leases.held()
        for partition, (lease, task) in list(running.items()):
            if task.done():
                del running[partition]
                task.result()
            elif held.get(partition) != lease:
                task.cancel()
                del running[partition]
        for partition, lease in held.items():
            if partition not in running and self._stopped.get(partition) != lease:
                task = asyncio.create_task(self._consume(lease, stop))
                task.add_done_callback(lambda _: self._news.set())
                running[partition] = lease, task

    async def _consume(self, lease: Lease, stop: asyncio.Event) -> None:
        try:
            await PartitionConsumer(self._context, lease, self._submit).run(stop)
        except* StaleLease:
            self._stopped[lease.partition] = lease  # a lease that is acquired again has another fence
            self._context.telemetry.log("warning", "lease_lost", group=lease.group, partition=lease.partition)
        except* UNANSWERED as errors:
            # What is stored tells the next consumer, under the same lease, where to begin.
            await StoreWait(self._context.telemetry, lease.group, RESTART_MS).pause(errors.exceptions[0], stop)
        except* UnknownFrame as errors:
            self._stopped[lease.partition] = lease
            (error,) = errors.exceptions
            place = {"group": lease.group, "partition": lease.partition}
            self._context.telemetry.log("error", "partition_stopped", **place, detail=str(error))

    def _submit(self, consumer: PartitionConsumer, work: Work) -> None:
        self._queue.put(consumer, work)
        self._worked_ms = self._context.clock.monotonic_ms()
        self._news.set()

    def _defer_stuck(self) -> None:
        """Defer deliveries that wait for a provider that does not answer: they fill the windows that other deliveries
        are read into."""
        for one in self._queue.take_stuck():
            one.consumer.defer_stuck(one.work)

    async def _serve(self) -> None:
        # A channel without a provider never waits for I/O: it would keep the loop until the queue is empty.
        local = self._context.channel is Channel.INAPP
        while True:
            one = await self._queue.get()
            try:
                await one.consumer.send(one.work)
            finally:
                self._queue.done(one)
            if local:
                await asyncio.sleep(0)
