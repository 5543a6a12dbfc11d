"""The planning loop: read what waits to be planned, plan, append plan and commits in one atomic step."""

import asyncio

from clarion.domain.channel import LANES, Lane
from clarion.domain.errors import CorruptFrame, StaleLease
from clarion.journal import topics
from clarion.journal.codec import decode, is_newer
from clarion.journal.consumer import LeasedPartitions
from clarion.journal.events import ChunkFrame, Event
from clarion.journal.patience import append
from clarion.plan.rules.need import NEED_ROUNDS_MAX, Need
from clarion.plan.step import Batch, Step, StepPlanner, notifications
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.clock import Clock
from clarion.ports.journal import Commit, Journal, Lease, StaleCaps, StoredFrame
from clarion.ports.telemetry import Telemetry

IDLE_WAIT_MS = 500
STALE_CAPS_TRIES = 20
"""Times one step is planned anew because others changed caps meanwhile; then the partition's lease is given a rest."""


class PlanWorker:
    """Plans the partitions its leases hold; the most urgent lane first, up to `batch_events` a step."""

    def __init__(
        self,
        journal: Journal,
        steps: StepPlanner,
        fetches: FetchPool,
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
        self._steps = steps
        self._fetches = fetches
        self._batch_events = batch_events
        self._linger_ms = linger_ms
        self._positions: dict[int, tuple[int, dict[str, int]]] = {}
        self._cancelled_seen = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Plan until `stop` is set; a step under way is finished."""
        watch = self._journal.watch(topics.GROUP_TOPICS[topics.GROUP_PLAN])
        while not stop.is_set():
            planned = 0
            cancelled = self._news()
            for partition, lease in list(self._leases.held().items()):
                try:
                    planned += await self.step(partition, lease, cancelled)
                except StaleLease:
                    self._positions.pop(partition, None)
            if not planned:
                await watch.wait(IDLE_WAIT_MS)
            elif planned < self._batch_events:
                await asyncio.sleep(self._linger_ms / 1000)
        await self._fetches.close()

    async def step(self, partition: int, lease: Lease, cancelled: bool = False) -> int:
        """Plan one batch of a partition and return how many events it held. With `cancelled` a step is made even when
        there is none: the instances of cancelled notifications end. Raises `StaleLease`."""
        with self._telemetry.cpu("plan"):
            positions = self._position(partition, lease)
            batch, read, number_read = self._read(partition, positions)
            if not read and not cancelled:
                return 0
        for _ in range(STALE_CAPS_TRIES):
            with self._telemetry.cpu("plan"):
                step = await self._plan(batch, partition)
                commits = [Commit(lease, topic, offset) for topic, offset in read.items()]
            if not read and not step.changes():
                return 0
            stored = step.append(lease, commits)
            try:
                await append(self._journal, stored, self._telemetry)
            except StaleCaps:
                self._steps.sends.forget_caps()
                continue
            positions.update(read)
            self._steps.sends.keep_caps(stored.caps)
            self._fetches.begin(step.fetches())
            for (channel, decision), number in step.counts.items():
                self._telemetry.count("planned", number, channel=channel, decision=decision)
            return number_read
        return 0

    async def _plan(self, batch: Batch, partition: int) -> Step:
        now_ms = self._clock.now_ms()
        items = notifications(batch)
        sent = [item for item in items if not item.request.workflow]
        released = [event for _, event in batch if isinstance(event, ChunkFrame)]
        facts = await self._steps.sends.gather(sent, now_ms, released)
        for _ in range(NEED_ROUNDS_MAX):
            step = self._steps.plan(batch, items, facts, partition, now_ms)
            if not isinstance(step, Need):
                for level, event, fields in step.told:
                    self._telemetry.log(level, event, **fields)
                return step
            facts = await self._steps.sends.more(facts, step, now_ms)
        raise RuntimeError(f"a step of planning lacked facts {NEED_ROUNDS_MAX} times")

    def _position(self, partition: int, lease: Lease) -> dict[str, int]:
        fence, positions = self._positions.get(partition, (0, {}))
        if fence != lease.fence:
            committed = self._journal.committed(topics.GROUP_PLAN, partition)
            positions = {topic: position.offset for topic, position in committed.items()}
            self._positions[partition] = (lease.fence, positions)
        return positions

    def _read(self, partition: int, positions: dict[str, int]) -> tuple[Batch, dict[str, int], int]:
        """Return events with their lane, the offset read up to per topic, and how many single events that were."""
        batch: list[tuple[Lane, Event]] = []
        read: dict[str, int] = {}
        number = 0
        for lane in LANES:
            topic = topics.accepted(lane)
            if number >= self._batch_events:
                break
            for stored in self._journal.read(topic, partition, positions.get(topic, 0)):
                event = self._decoded(stored)
                if event is not None:
                    batch.append((lane, event))
                read[topic] = stored.offset
                number += stored.count
                if number >= self._batch_events:
                    break
        return batch, read, number

    def _decoded(self, stored: StoredFrame) -> Event | None:
        try:
            return decode(stored.payload)
        except CorruptFrame as error:
            if is_newer(stored.payload):
                raise  # a newer build can read it; going on would drop what it holds
            self._telemetry.log(
                "error", "frame_quarantined", topic=stored.topic, offset=stored.offset, detail=str(error)
            )
            return None

    def _news(self) -> bool:
        """Return whether anything was cancelled since the last call."""
        before = self._cancelled_seen
        self._cancelled_seen, _ = self._journal.cancelled_since(before)
        return self._cancelled_seen != before
