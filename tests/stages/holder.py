"""A single partition consumer, with senders that a test controls."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker import PartitionConsumer
from clarion.domain.planned import PlannedDelivery
from clarion.journal.events import AttemptedFrame
from tests.stages.virtual import kill
from tests.stages.world import GROUP, World


class Holder:
    """A partition consumer under a lease of its own; only deliveries that `passes` lets through are ever sent."""

    def __init__(
        self, world: World, passes: Callable[[PlannedDelivery], bool] = lambda row: True, **other: Any
    ) -> None:
        self.world = world
        self.passes = passes
        self.submitted: list[str] = []
        self.works: list[Work] = []
        self.stop = asyncio.Event()
        self._sends: list[asyncio.Task[None]] = []
        self._other = other

    async def start(self) -> "Holder":
        lease = await self.world.journal.acquire(GROUP, 0, "worker-0", 100_000)
        assert lease is not None
        self.consumer = PartitionConsumer(self.world.tools(**self._other), lease, self._submit)
        self.task = asyncio.create_task(self.consumer.run(self.stop))
        return self

    def _submit(self, consumer: PartitionConsumer, work: Work) -> None:
        row = work.row
        self.submitted.append(row.address)
        self.works.append(work)
        if self.passes(row):
            self._sends.append(asyncio.create_task(consumer.send(work)))

    async def settled(self) -> None:
        """Wait until every result that can be recorded is recorded."""
        await asyncio.sleep(2)

    async def crash(self) -> None:
        await kill(self.task, *self._sends)


def attempted(world: World) -> Counter[tuple[str, int, str]]:
    result: Counter[tuple[str, int, str]] = Counter()
    for frame in world.events():
        if isinstance(frame, AttemptedFrame):
            result.update(zip(frame.addresses, frame.attempts, frame.events, strict=True))
    return result
