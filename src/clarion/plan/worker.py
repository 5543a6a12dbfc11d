"""The planning loop: read accepted frames, plan, append plan and commits in one atomic step."""

import asyncio

from clarion.domain.channel import LANES
from clarion.domain.errors import CorruptFrame, StaleLease
from clarion.journal import topics
from clarion.journal.codec import decode, is_newer
from clarion.journal.consumer import LeasedPartitions
from clarion.journal.events import AcceptedFrame
from clarion.journal.patience import append
from clarion.plan.batch import BatchPlanner
from clarion.plan.columns import Accepted, unpack
from clarion.plan.facts import Facts
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.journal import Append, Commit, Journal, Lease
from clarion.ports.telemetry import Telemetry

IDLE_WAIT_MS = 500


class PlanWorker:
    """Plans the partitions its leases hold; the most urgent lane first, up to `batch_events` a step."""

    def __init__(
        self,
        journal: Journal,
        directory: Directory,
        leases: LeasedPartitions,
        clock: Clock,
        telemetry: Telemetry,
        *,
        batch_events: int,
        linger_ms: int,
    ) -> None:
        self._journal = journal
        self._leases = leases
        self._clock = clock
        self._telemetry = telemetry
        self._planner = BatchPlanner(Facts(directory), telemetry)
        self._batch_events = batch_events
        self._linger_ms = linger_ms
        self._positions: dict[int, tuple[int, dict[str, int]]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Plan until `stop` is set; a step under way is finished."""
        watch = self._journal.watch(topics.GROUP_TOPICS[topics.GROUP_PLAN])
        while not stop.is_set():
            planned = 0
            for partition, lease in list(self._leases.held().items()):
                try:
                    planned += await self.step(partition, lease)
                except StaleLease:
                    self._positions.pop(partition, None)
            if not planned:
                await watch.wait(IDLE_WAIT_MS)
            elif planned < self._batch_events:
                await asyncio.sleep(self._linger_ms / 1000)

    async def step(self, partition: int, lease: Lease) -> int:
        """Plan one batch of a partition and return how many notifications it held. Raises `StaleLease`."""
        with self._telemetry.cpu("plan"):
            positions = self._position(partition, lease)
            batch, read = self._read(partition, positions)
            if not read:
                return 0
            plan = self._planner.plan(batch, partition, self._clock.now_ms())
            commits = [Commit(lease, topic, offset) for topic, offset in read.items()]
        batch_append = Append(frames=plan.frames, timers=plan.timers, commits=commits, lease=lease)
        await append(self._journal, batch_append, self._telemetry)
        positions.update(read)
        for (channel, decision), number in plan.counts.items():
            self._telemetry.count("planned", number, channel=channel, decision=decision)
        return len(batch)

    def _position(self, partition: int, lease: Lease) -> dict[str, int]:
        fence, positions = self._positions.get(partition, (0, {}))
        if fence != lease.fence:
            committed = self._journal.committed(topics.GROUP_PLAN, partition)
            positions = {topic: position.offset for topic, position in committed.items()}
            self._positions[partition] = (lease.fence, positions)
        return positions

    def _read(self, partition: int, positions: dict[str, int]) -> tuple[list[Accepted], dict[str, int]]:
        batch: list[Accepted] = []
        read: dict[str, int] = {}
        for lane in LANES:
            topic = topics.accepted(lane)
            if len(batch) >= self._batch_events:
                break
            for stored in self._journal.read(topic, partition, positions.get(topic, 0)):
                try:
                    event = decode(stored.payload)
                except CorruptFrame as error:
                    if is_newer(stored.payload):
                        raise  # a newer build can read it; going on would drop what it holds
                    self._telemetry.log(
                        "error", "frame_quarantined", topic=topic, offset=stored.offset, detail=str(error)
                    )
                    event = None
                if isinstance(event, AcceptedFrame):
                    batch.extend(unpack(lane, event))
                read[topic] = stored.offset
                if len(batch) >= self._batch_events:
                    break
        return batch, read
