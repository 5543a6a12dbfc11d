"""One channel, one partition, one lease: recover, then read, intend, send, record and commit until told to stop."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import Any

from clarion.deliver.accounts.assignment import PutOff
from clarion.deliver.partition.results import Result, standing_frames, step_result
from clarion.deliver.partition.sift import withdraw, withdrawn
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_backlog import TURN_DELIVERIES, Backlog
from clarion.deliver.partition.worker_handover import Placed
from clarion.deliver.partition.worker_prepare import PartitionOffer, Prepared, prepare, put_off
from clarion.deliver.partition.worker_supplies import Supplies
from clarion.deliver.rules.retry import ACCEPTED, Turn, after
from clarion.deliver.rules.window import Pending
from clarion.domain.channel import LANES, Lane
from clarion.domain.decision import Reason
from clarion.domain.errors import UnknownFrame
from clarion.domain.outcome import Accepted
from clarion.domain.trail import Trail
from clarion.journal import topics
from clarion.journal.patience import commit
from clarion.journal.watch import woken_by
from clarion.ports.metering import together
from clarion.ports.stage_store import Committed, Lease, Progress, StageResult
from clarion.ports.streams import Watch

IDLE_WAIT_MS = 30_000
"""How long an idle loop waits for news before it looks all the same."""
STOP_CHECK_S = 0.1
HAND_OVER = 64
"""Deliveries that are handed to senders at a stretch."""
RESULTS_PER_COMMIT = 1_000
FEW_RESULTS = 32
RESULTS_WAIT_MS = 40
"""How long a few results wait for a commit that is made anyway, as the intents of the next deliveries are."""
SLOW_WAIT_MS = 5_000
"""How long a delivery waits for an account whose provider holds all its senders."""

Submit = Callable[["PartitionConsumer", Work], None]


class PartitionConsumer:
    """Consumes one partition. `submit` hands a delivery to the channel's senders, who call `send` with it."""

    def __init__(self, tools: Supplies, lease: Lease, submit: Submit) -> None:
        self._t = tools
        self._lease = lease
        self._submit = submit
        self._backlog = Backlog(tools, lease)
        self._results: list[tuple[Work, Result]] = []
        self._closed = False
        """Whether positions may have moved without a result."""
        self._under_way: Counter[Lane] = Counter()
        self._alive = True
        self._is_ending = False
        """Whether nothing more is read."""
        self._unreadable: UnknownFrame | None = None
        self._dirty = asyncio.Event()
        self._room = asyncio.Event()
        self._ordered: dict[tuple[str, str, str], deque[Work]] = {}
        self._watch: Watch
        self._turn = asyncio.Lock()
        """Who reads on, or offers: one at a time, as frames are sent in order."""

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then finish what was started. Raises `StaleLease` when the lease is lost, and
        `UnknownFrame` when a frame is for another build: nothing behind it is read."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(stop))
                group.create_task(self._record(reading))
        finally:
            self._alive = False
            for queue in self._ordered.values():
                for item in list(queue)[1:]:  # nobody submits what stands behind a first one any more
                    self._t.accounts.unused(item.account)
            await self._tell()
        if self._unreadable is not None:
            raise self._unreadable

    async def _read(self, stop: asyncio.Event) -> None:
        try:
            await self._read_frames(stop)
        except UnknownFrame as error:
            self._unreadable = error  # what was started before it is finished all the same

    async def _read_frames(self, stop: asyncio.Event) -> None:
        self._watch = watch = self._t.streams.watch(topics.GROUP_TOPICS[self._lease.group], [self._lease.partition])
        carries = not self._t.streams.streams_traits.repeats  # or a commit does not say where its frames lie
        taking = self._t.handovers.taking(self._t.channel, self._lease.partition, self) if carries else nullcontext()
        async with woken_by(stop, watch.wake):
            with taking:
                await self._read_on(watch, stop)

    async def _read_on(self, watch: Watch, stop: asyncio.Event) -> None:
        await self._backlog.recover()
        await self._look()
        while not stop.is_set():
            async with self._turn:
                room = self._room_left()
                work = self._backlog.take(room)
                if work:
                    await self._start(work)
                    continue
            if min(room.values()) > 0:
                await watch.wait(IDLE_WAIT_MS)
            else:
                self._room.clear()
                if await _within(self._room, STOP_CHECK_S) and self._backlog.has_next(self._room_left()):
                    continue  # the next frames are in memory: the others are looked for beside their intents
            async with self._turn:
                await self._look()

    async def _look(self) -> None:
        """Read what comes next, and what was cancelled meanwhile, side by side."""
        reading: list[Coroutine[Any, Any, None]] = [self._backlog.read_ahead(self._room_left(), self._watch.grown)]
        if self._t.cancelled.is_stale():
            reading.append(self._t.cancelled.refresh())
        await together(*reading)

    def _room_left(self) -> dict[Lane, int]:
        return {lane: self._t.window - self._under_way[lane] for lane in LANES}

    async def _start(self, work: list[Work]) -> None:
        """Sort out what must not be sent, write intents for the rest, then hand it to the senders."""
        self._under_way.update(item.lane for item in work)
        prepared = await prepare(self._t, self._lease, self._backlog, work)
        self._close_out(prepared)
        try:
            if prepared.result.frames:
                await self._intended(prepared.result)
            else:
                await self._look()
        except BaseException:
            prepared.give_back(self._t)
            raise
        await self._begin(prepared.going)

    def _close_out(self, prepared: Prepared) -> None:
        """End what is not sent now."""
        for item in prepared.closed:
            self._close(item)
        for item, result in prepared.ended:
            self._finish(item, result)

    async def _begin(self, going: list[Work]) -> None:
        """Hand deliveries to the senders whose intents are stored, but for those that were cancelled before they were."""
        tools = self._t
        cancelled = tools.cancelled.among(item.row.delivery_id for item in going)
        send, ended = withdraw(going, cancelled, tools.clock.now_ms())
        for item, result in ended:
            tools.accounts.unused(item.account)
            self._finish(item, result)
        await self._hand_over(send)

    async def offer(self, frames: Sequence[Placed]) -> PartitionOffer | None:
        """Prepare deliveries whose frames are about to be stored, if nothing is before them. Until the offer ends, nothing
        else is read."""
        room = self._room_left()
        few = sum(placed.frame.count for placed in frames) <= min(*room.values(), TURN_DELIVERIES)
        free = self._alive and not self._is_ending and not self._turn.locked()
        if not (few and free and self._backlog.is_done) or self._watch.grown:
            return None
        await self._turn.acquire()  # nobody has it: this never waits
        early, work = [], []
        try:
            for placed in frames:
                pending, some = self._backlog.early(placed.lane, placed.frame)
                early.append((placed.at, pending))
                work += some
            self._under_way.update(item.lane for item in work)
            prepared = await prepare(self._t, self._lease, self._backlog, work)
        except BaseException:
            self._drop([pending for _, pending in early], work)
            raise
        return PartitionOffer(prepared, early, work, self._t.clock.monotonic_ms(), self._offered, self._withdrawn)

    async def _offered(self, offer: PartitionOffer, done: Committed) -> None:
        """Begin what was offered: it is stored."""
        try:
            for at, pending in offer.early:
                self._backlog.landed(pending, done.offsets[at])
            self._close_out(offer.prepared)
            try:
                await self._t.cancelled.take_up(done, offer.asked_ms)
            except BaseException:
                offer.prepared.give_back(self._t)
                raise
            await self._begin(offer.prepared.going)
        finally:
            self._turn.release()

    def _withdrawn(self, offer: PartitionOffer) -> None:
        """Take back what was offered: nothing of it is stored."""
        offer.prepared.give_back(self._t)
        self._drop([pending for _, pending in offer.early], offer.work)

    def _drop(self, early: Sequence[Pending], work: Sequence[Work]) -> None:
        for pending in early:
            self._backlog.dropped(pending)
        self._under_way.subtract(item.lane for item in work)
        self._dirty.set()
        self._turn.release()

    async def _intended(self, batch: StageResult) -> None:
        """Store intents, and read what comes next meanwhile."""
        looking = asyncio.create_task(self._look())
        try:
            await self._commit(batch)
            await looking
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _commit(self, batch: StageResult) -> None:
        """Commit, and learn what was cancelled: whoever cancelled before an intent is durable is obeyed."""
        tools, asked_ms = self._t, self._t.clock.monotonic_ms()
        await tools.cancelled.take_up(await commit(tools.store, batch, tools.telemetry), asked_ms)

    async def _hand_over(self, send: Sequence[Work]) -> None:
        """Submit deliveries. Each wakes a sender that renders and builds at once, so the loop goes round between some."""
        done = 0
        try:
            for done, item in enumerate(send, 1):
                self._order(item)
                if not done % HAND_OVER:
                    await asyncio.sleep(0)
        finally:
            for item in send[done:]:
                self._t.accounts.unused(item.account)

    def _put_off(self, item: Work, why: PutOff, started_ms: int, *, others: bool = False) -> None:
        self._finish(item, put_off(self._t, item, why, started_ms, others=others))

    def _order(self, item: Work) -> None:
        """Submit a delivery, or let it wait behind the one before it with the same ordering key."""
        if item.row.ordering_key is None:
            self._submit(self, item)
            return
        queue = self._ordered.setdefault((item.row.tenant, item.row.user_id, item.row.ordering_key), deque())
        queue.append(item)
        if len(queue) == 1:
            self._submit(self, item)

    async def send(self, item: Work) -> None:
        """Make one attempt and keep its result for the recorder. Called by a sender of the channel's pool."""
        tools, row = self._t, item.row
        if tools.cancelled.is_stale():
            await tools.cancelled.refresh()
        if not self._alive:
            tools.accounts.unused(item.account)
            await self._tell()
            return  # the lease is gone: the next holder finds the intent and decides
        started_ms = tools.clock.now_ms()
        if tools.cancelled.among((row.delivery_id,)):
            tools.accounts.unused(item.account)
            self._finish(item, withdrawn(row, started_ms))
        elif item.account is not None and (why := tools.accounts.down(item.account)) is not None:
            tools.accounts.unused(item.account)
            others = tools.accounts.others(item.known, tools.channel, row, why.provider)
            self._put_off(item, why, started_ms, others=others)
        else:
            await self._attempt(item, started_ms)
        if tools.accounts.is_urgent:
            await tools.accounts.flush()
        if row.ordering_key is not None:
            self._next_in_order((row.tenant, row.user_id, row.ordering_key))

    async def _tell(self) -> None:
        """Tell other workers of the accounts used."""
        if self._t.accounts.is_due:
            await self._t.accounts.flush()

    def relieve(self, item: Work) -> None:
        """End the turn of a delivery that waits too long for a sender, as its account has them all."""
        account = item.account
        if not self._alive or account is None:
            return
        now_ms = self._t.clock.now_ms()
        self._t.accounts.unused(account)
        detail = "the provider answers slowly"
        self._put_off(item, PutOff(Reason.PACED, now_ms + SLOW_WAIT_MS, detail, account.name, account.vendor), now_ms)
        if item.row.ordering_key is not None:
            self._next_in_order((item.row.tenant, item.row.user_id, item.row.ordering_key))

    async def _attempt(self, item: Work, started_ms: int) -> None:
        tools, row, account = self._t, item.row, item.account
        answer = await tools.sender.attempt(tools.channel, row, account, item.lane is Lane.CRITICAL)
        if account is not None:
            tools.accounts.done(account, answer.outcome, started_ms)
            if tools.accounts.is_urgent:
                await tools.accounts.flush()
        if isinstance(answer.outcome, Accepted):
            self._finish(item, Result(row, answer, ACCEPTED, started_ms, tools.clock.now_ms()))
            return
        turn = Turn(
            tools.clock.now_ms(),
            tools.clock.jitter(),
            answer.provider,
            others=tools.accounts.others(item.known, tools.channel, row, answer.provider),
            falls_back=item.degrades,
            on_ambiguous=item.known.on_ambiguous(account),
            expires_ms=row.expires_ms,
        )
        following = after(answer.outcome, row.trail or Trail(), tools.policy, turn)
        self._finish(item, Result(row, answer, following, started_ms, turn.now_ms))

    def _next_in_order(self, key: tuple[str, str, str]) -> None:
        queue = self._ordered[key]
        queue.popleft()
        if queue:
            self._submit(self, queue[0])
        else:
            del self._ordered[key]

    def _finish(self, item: Work, result: Result) -> None:
        self._results.append((item, result))
        self._dirty.set()

    def _close(self, item: Work) -> None:
        item.pending.left -= 1
        self._under_way[item.lane] -= 1
        self._closed = True
        self._dirty.set()

    async def _record(self, reading: "asyncio.Task[None]") -> None:
        """Append results, timers and commits in one step, at most every `linger_ms`, until all work is done. How an account
        stands is recorded also when the last result was recorded before that was known."""
        reading.add_done_callback(self._end)
        with self._t.accounts.breakers.noting(self._dirty):
            await self._record_until(reading)

    def _end(self, _reading: "asyncio.Task[None]") -> None:
        self._is_ending = True
        self._dirty.set()

    async def _record_until(self, reading: "asyncio.Task[None]") -> None:
        while not reading.done() or any(self._under_way.values()):
            await self._dirty.wait()
            self._dirty.clear()
            if not (self._results or self._closed or self._t.accounts.breakers.has_changes()):
                continue
            await self._flush()
            while len(self._results) >= RESULTS_PER_COMMIT:
                await self._flush()
            if self._results:
                self._dirty.set()
            await asyncio.sleep(self._t.linger_ms / 1000)

    def _patience_ms(self, results: int) -> int:
        """Return how long results may wait for a commit of others: not when they are many, or what comes next waits for them."""
        if results >= FEW_RESULTS or self._is_ending or min(self._room_left().values()) <= 0:
            return 0
        return RESULTS_WAIT_MS

    async def _flush(self) -> None:
        """Record results, not more at once than `RESULTS_PER_COMMIT`."""
        self._closed = False
        finished, self._results = self._results[:RESULTS_PER_COMMIT], self._results[RESULTS_PER_COMMIT:]
        tools, partition = self._t, self._lease.partition
        with tools.telemetry.cpu("deliver"):
            for item, _ in finished:
                item.pending.left -= 1
            lanes = {item.row.delivery_id: item.lane for item, _ in finished}
            done = step_result(tools.channel, partition, lanes, [result for _, result in finished])
            standings = standing_frames(partition, tools.accounts.breakers.changes())
            commits, kept = self._backlog.settled(one.event for one in done.told)
            batch = StageResult(
                lease=self._lease,
                frames=[*(one.frame for one in done.told), *standings, *done.fallbacks],
                timers=done.timers,
                progress=Progress(commits, kept),
                cancellations_after=tools.cancelled.sequence,
                may_wait_ms=self._patience_ms(len(finished)),
            )
        # Side by side, so that whoever reads the result and sends again finds the address suppressed. Repeated after a crash, it
        # changes nothing. What somebody said STOP to keeps that reason, or START could not lift it.
        learning = [tools.suppressions.learn(tenant, entries) for tenant, entries in done.suppressions.items()]
        await together(self._commit(batch), *learning)
        self._under_way.subtract(item.lane for item, _ in finished)
        self._room.set()
        for outcome, number in done.counts.items():
            tools.telemetry.count("attempts", number, channel=tools.channel, outcome=outcome)


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
