"""Worker processes that can be killed or frozen between any two steps, over one shared journal that outlives them."""

import asyncio
from contextlib import suppress
from typing import Any

from clarion.deliver.worker import ChannelPool
from clarion.domain.channel import Channel
from clarion.journal import topics
from clarion.ports.stage_store import StageResult
from clarion.runtime.consumer import LeasedPartitions
from clarion.stores.memory.journal import MemoryJournal
from tests.stages.world import World

TTL_MS = 1_500
WRITES = frozenset({"commit", "acquire", "renew", "release"})


class Wire:
    """A process's connection to the journal: writes yield before and after, stop for good when the process dies, and wait
    while it is frozen. A write may be durable although its caller never learns of it."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.dead = False
        self.handed_over = 0
        """Commits that stored planned deliveries and the intents of their first attempts."""
        self.thawed = asyncio.Event()
        self.thawed.set()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._journal, name)
        if name not in WRITES:
            return attribute

        async def write(*values: Any) -> Any:
            await asyncio.sleep(0)
            await self.thawed.wait()
            if self.dead:
                raise asyncio.CancelledError
            result = await attribute(*values)
            if name == "commit" and _is_handed_over(values[0]):
                self.handed_over += 1
            await asyncio.sleep(0)
            return result

        return write


def _is_handed_over(result: StageResult) -> bool:
    return bool(result.progress.intents) and any(frame.topic.startswith("deliver.") for frame in result.frames)


class Process:
    """Plan and deliver of one worker process."""

    def __init__(self, world: World, index: int, owner: str, *, hands_over: bool = True) -> None:
        self._world = world
        self._hands_over = hands_over
        self._index = index
        self._owner = owner
        self.wire = Wire(world.journal)
        self.stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        world = self._world
        plan_leases = self._leases(topics.GROUP_PLAN)
        deliver_leases = self._leases(topics.group_deliver(Channel.SMS))
        tools = world.tools(journal=self.wire, worker=self._owner, window=6, linger_ms=10)
        planner = world.planner(
            self.wire, plan_leases, batch_events=4, linger_ms=5, handover=tools.handovers if self._hands_over else None
        )
        release = asyncio.Event()
        async with asyncio.TaskGroup() as keepers:
            for leases in (plan_leases, deliver_leases):
                keepers.create_task(leases.run(release))
            async with asyncio.TaskGroup() as work:
                work.create_task(planner.run(self.stop))
                work.create_task(ChannelPool(tools, deliver_leases, concurrency=3).run(self.stop))
            release.set()

    def _leases(self, group: str) -> LeasedPartitions:
        return LeasedPartitions(
            self.wire, group, self._owner, self._world.clock, index=self._index, count=2, ttl_ms=TTL_MS
        )

    @property
    def failure(self) -> BaseException | None:
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def kill(self) -> None:
        """Kill it: from now on none of its writes reach the journal."""
        self.wire.dead = True
        self.wire.thawed.set()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def freeze(self, seconds: float) -> None:
        """Delay its writes for a time, as in a process that slept past its lease."""
        self.wire.thawed.clear()
        await asyncio.sleep(seconds)
        self.wire.thawed.set()

    async def drain(self) -> None:
        self.stop.set()
        await self._task
