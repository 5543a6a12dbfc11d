"""The planning loop: read frames, gather facts, decide, and commit plan and positions in one atomic step."""

import asyncio
from collections.abc import Iterable

from clarion.domain.errors import StaleLease, UnknownFrame
from clarion.journal import topics
from clarion.journal.handover import Handover, with_offers
from clarion.plan.gather import StepGatherer
from clarion.plan.gather_frames import FrameReader, Frames
from clarion.plan.notes import Notes
from clarion.plan.rules.need import NEED_ROUNDS_MAX, Need
from clarion.plan.step import PlanStepResult, decide
from clarion.plan.work import Work, work_of
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.clock import Clock
from clarion.ports.expressions import Expressions
from clarion.ports.stage_store import Lease, StageResult, StageStore, StaleCaps
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.runtime.append_retry import commit_with_retry
from clarion.runtime.consumer import LeasedPartitions, LeasedWatch
from clarion.runtime.metering import together
from clarion.runtime.store_wait import UNANSWERED, StoreWait
from clarion.runtime.watch import woken_by

IDLE_WAIT_MS = 30_000
"""How long an idle loop waits for a wake-up before it polls."""
STALE_CAPS_TRIES = 20
"""Times one step is planned again because other processes changed caps meanwhile; after that the partition waits for
the next turn."""


class PlanWorker:
    """Plans the partitions its leases hold; the most urgent lane first, up to `batch_events` per step."""

    def __init__(
        self,
        streams: Streams,
        store: StageStore,
        gatherer: StepGatherer,
        expressions: Expressions,
        fetches: FetchPool,
        leases: LeasedPartitions,
        clock: Clock,
        telemetry: Telemetry,
        *,
        batch_events: int,
        linger_ms: int,
        handover: Handover | None = None,
    ) -> None:
        """`handover` offers planned deliveries to the senders of this process; None without any."""
        self._handover = handover
        self._streams = streams
        self._store = store
        self._gatherer = gatherer
        self._expressions = expressions
        self._fetches = fetches
        self._leases = leases
        self._clock = clock
        self._telemetry = telemetry
        self._frames = FrameReader(streams, store, telemetry, batch_events)
        self._batch_events = batch_events
        self._linger_ms = linger_ms
        self._planned_ms = -linger_ms
        """When the planning of the last batch began, on the monotonic clock."""
        self._stopped: dict[int, int] = {}
        """Partitions stopped at a frame that this build cannot decode, with the fence under which it was found."""

    async def run(self, stop: asyncio.Event) -> None:
        """Plan until `stop` is set; a step under way is finished."""
        watch = LeasedWatch(
            self._streams, [*topics.GROUP_TOPICS[topics.GROUP_PLAN], topics.CANCELLATIONS], self._leases
        )
        waits = StoreWait(self._telemetry, "plan")
        async with woken_by(stop, watch.wake):
            while not stop.is_set():
                watch.follow()
                try:
                    planned = await self._plan_all(watch.grown)
                except UNANSWERED as error:
                    self._frames.keep_only(())
                    await waits.pause(error, stop)
                    continue
                waits.answered()
                if planned and (planned >= self._batch_events or not watch.is_woken):
                    continue  # read again at once: there may be more than one read returns
                if not planned:
                    await watch.wait(IDLE_WAIT_MS)
                await self._linger(stop)
        await self._fetches.close()

    async def _linger(self, stop: asyncio.Event) -> None:
        """Wait for a fuller batch if the last one was planned a moment ago."""
        pause_ms = self._planned_ms + self._linger_ms - self._clock.monotonic_ms()
        if pause_ms > 0 and not stop.is_set():
            await asyncio.sleep(pause_ms / 1000)

    async def step(self, partition: int, lease: Lease) -> int:
        """Plan one batch of a partition and return its number of events. A step is made even without events if
        notifications were cancelled: their instances end. Raises `StaleLease`."""
        await self._read([lease])
        return await self._step(partition, lease)

    async def _plan_all(self, grown: set[tuple[str, int]] | None = None) -> int:
        """Plan one batch of each partition and return their number of events: one read of the streams that have `grown`
        (None: of all), then a step for each partition with work."""
        held = self._leases.held()
        self._frames.keep_only(held)
        began_ms = self._clock.monotonic_ms()
        await self._read(held.values(), grown)
        planned = 0
        for partition, lease in held.items():
            try:
                planned += await self._step(partition, lease)
            except StaleLease:
                self._frames.forget(partition)
        if planned:
            self._planned_ms = began_ms
        return planned

    async def _read(self, leases: Iterable[Lease], grown: set[tuple[str, int]] | None = None) -> None:
        """Read frames and, concurrently, new cancellations."""
        going = [lease for lease in leases if self._stopped.get(lease.partition) != lease.fence]
        if going:
            reading = together(self._frames.read(going, grown), self._gatherer.refresh(going))
            await self._telemetry.cpu_of("plan", reading)

    async def _step(self, partition: int, lease: Lease) -> int:
        """Plan the frames read for a partition and return their number of events. Raises `StaleLease`."""
        frames = self._next(partition, lease)
        if frames is None or not (frames.read or self._gatherer.needs_cancellations(lease)):
            return 0
        for _ in range(STALE_CAPS_TRIES):
            now_ms = self._clock.now_ms()
            work = self._plan(lease, frames, now_ms)
            result, batch = await self._telemetry.cpu_of("plan", work)
            if not frames.read and not result.changes():
                return 0
            try:
                await self._stored(lease.partition, batch)
            except StaleCaps:
                self._gatherer.forget_caps()
                continue
            self._frames.advance(partition, frames)
            self._gatherer.advance(lease, result.caps)
            self._fetches.begin(result.fetches)
            self._record_notes(result.notes)
            return frames.number
        return 0

    async def _stored(self, partition: int, batch: StageResult) -> None:
        """Commit a step, with the intents of deliveries that can be sent at once. Raises the errors of
        `commit_with_retry`."""
        offers = [] if self._handover is None else await self._handover.prepare_offers(partition, batch.frames)
        try:
            done = await commit_with_retry(self._store, with_offers(batch, offers), self._telemetry)
        except BaseException as error:
            for offer in offers:
                offer.on_dropped()
            if not offers or not isinstance(error, StaleLease):
                raise
            await commit_with_retry(self._store, batch, self._telemetry)  # the lost lease may be the sender's
            return
        for place, offer in enumerate(offers):
            try:
                await offer.on_stored(done)
            except BaseException:
                for rest in offers[place + 1 :]:
                    rest.on_dropped()
                raise

    def _next(self, partition: int, lease: Lease) -> Frames | None:
        """Return the next frames of a partition, None when it is stopped for as long as this process holds its
        lease."""
        if self._stopped.get(partition) == lease.fence:
            return None
        try:
            with self._telemetry.cpu("plan"):
                return self._frames.next(partition)
        except UnknownFrame as unknown:
            self._stopped[partition] = lease.fence
            self._telemetry.log("error", "plan_stopped", partition=partition, detail=str(unknown))
            return None

    async def _plan(self, lease: Lease, frames: Frames, now_ms: int) -> tuple[PlanStepResult, StageResult]:
        result = await self._decide(work_of(frames.batch, now_ms), lease, now_ms)
        return result, result.stored(lease, frames.commits(lease))

    async def _decide(self, work: Work, lease: Lease, now_ms: int) -> PlanStepResult:
        """Gather and decide; gather more and decide again for as long as facts are missing."""
        facts = await self._gatherer.gather(work, lease, now_ms)
        for rounds in range(NEED_ROUNDS_MAX):
            result = decide(work, facts, self._expressions, now_ms)
            if not isinstance(result, Need):
                if rounds:
                    self._telemetry.count("plan_rounds", rounds)
                return result
            facts = await self._gatherer.more(facts, result, now_ms)
        raise RuntimeError(f"facts were still missing for a planning step after {NEED_ROUNDS_MAX} rounds")

    def _record_notes(self, notes: Notes) -> None:
        for (name, labels), number in notes.counts.items():
            self._telemetry.count(name, number, **dict(labels))
        for level, event, fields in notes.lines:
            self._telemetry.log(level, event, **fields)
