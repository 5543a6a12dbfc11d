"""One channel, one partition, one lease: recover, then read, intend, send, record and commit until stopped."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from clarion.deliver.accounts.assignment import Deferral
from clarion.deliver.partition.results import Result, health_frames, step_result
from clarion.deliver.partition.triage import cancelled_result, drop_cancelled
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_attempt import attempt
from clarion.deliver.partition.worker_backlog import TURN_DELIVERIES, Backlog
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.partition.worker_handover import PlacedFrame
from clarion.deliver.partition.worker_prepare import PartitionOffer, PreparedBatch, deferred_result, prepare
from clarion.deliver.rules.window import Pending
from clarion.domain.channel import LANES, Lane
from clarion.domain.decision import Reason
from clarion.domain.errors import ClarionError, UnknownFrame
from clarion.journal import topics
from clarion.ports.stage_store import Committed, GroupProgress, Lease, StageResult
from clarion.ports.streams import Watch
from clarion.runtime.append_retry import commit_with_retry
from clarion.runtime.metering import together
from clarion.runtime.store_wait import UNANSWERED, until_answered
from clarion.runtime.watch import woken_by

IDLE_WAIT_MS = 30_000
"""How long an idle loop waits for news before it reads anyway."""
STOP_CHECK_S = 0.1
SUBMIT_BATCH = 64
"""Deliveries that are handed to senders without yielding to the event loop."""
RESULTS_PER_COMMIT = 1_000
FEW_RESULTS = 32
RESULTS_WAIT_MS = 60
"""How long a few results wait for a commit that is made anyway, such as that of the next intents."""
SLOW_WAIT_MS = 5_000
"""How long a delivery waits for an account whose provider occupies all its senders."""

Submit = Callable[["PartitionConsumer", Work], None]


class PartitionConsumer:
    """Consumes one partition. `submit` hands a delivery to the channel's senders, who call `send` with it."""

    def __init__(self, context: ChannelContext, lease: Lease, submit: Submit) -> None:
        self._context = context
        self._lease = lease
        self._submit = submit
        self._backlog = Backlog(context, lease)
        self._results: list[tuple[Work, Result]] = []
        self._closed = False
        """Whether positions may have advanced without a result."""
        self._under_way: Counter[Lane] = Counter()
        self._alive = True
        self._is_ending = False
        """Whether reading has stopped."""
        self._unreadable: ClarionError | None = None
        """The reason why reading has stopped before `stop` was set."""
        self._dirty = asyncio.Event()
        self._room = asyncio.Event()
        self._ordered: dict[tuple[str, str, str], deque[Work]] = {}
        self._watch: Watch
        self._turn = asyncio.Lock()
        """Held while frames are read or offered: one at a time, since frames are sent in order."""

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then finish started deliveries. Raises `StaleLease` when the lease is lost. When a
        frame is for another build or the store does not answer, nothing more is read, started deliveries are finished, and
        `UnknownFrame` or the store's error is raised: the next consumer begins at what is stored."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(stop))
                group.create_task(self._record(reading))
        finally:
            self._alive = False
            for queue in self._ordered.values():
                for item in list(queue)[1:]:  # only the first of a queue was submitted; the rest never will be
                    self._context.accounts.return_unused(item.account)
            await self._report_accounts()
        if self._unreadable is not None:
            raise self._unreadable

    async def _read(self, stop: asyncio.Event) -> None:
        try:
            await self._read_frames(stop)
        except (UnknownFrame, *UNANSWERED) as error:
            self._unreadable = error  # deliveries started before it are finished

    async def _read_frames(self, stop: asyncio.Event) -> None:
        context = self._context
        self._watch = watch = context.streams.watch(topics.GROUP_TOPICS[self._lease.group], [self._lease.partition])
        carries = not context.streams.streams_traits.repeats  # else a commit does not return the offsets of its frames
        handovers, channel = context.handovers, context.channel
        registration = handovers.register(channel, self._lease.partition, self) if carries else nullcontext()
        async with woken_by(stop, watch.wake):
            with registration:
                await self._read_on(watch, stop)

    async def _read_on(self, watch: Watch, stop: asyncio.Event) -> None:
        await self._backlog.recover()
        await self._read_next()
        while not stop.is_set() and self._unreadable is None:
            async with self._turn:
                room = self._free_slots()
                work = self._backlog.take_work(room)
                if work:
                    await self._start(work)
                    continue
            if min(room.values()) > 0:
                await watch.wait(IDLE_WAIT_MS)
            else:
                self._room.clear()
                if await _wait_within(self._room, STOP_CHECK_S) and self._backlog.has_next(self._free_slots()):
                    continue  # the next frames are in memory: later ones are read while their intents are stored
            async with self._turn:
                await self._read_next()

    async def _read_next(self) -> None:
        """Read the next frames and new cancellations concurrently."""
        reading: list[Coroutine[Any, Any, None]] = [self._backlog.read_ahead(self._free_slots(), self._watch.grown)]
        if self._context.cancelled.is_stale():
            reading.append(self._context.cancelled.refresh())
        await together(*reading)

    def _free_slots(self) -> dict[Lane, int]:
        return {lane: self._context.window - self._under_way[lane] for lane in LANES}

    async def _start(self, work: list[Work]) -> None:
        """Triage deliveries, write intents for those to send, then hand them to the senders."""
        self._under_way.update(item.lane for item in work)
        try:
            prepared = await prepare(self._context, self._lease, self._backlog, work)
        except BaseException:
            self._leave(work)
            raise
        self._close_out(prepared)
        try:
            if prepared.result.frames:
                await self._store_intents(prepared.result)
            else:
                await self._read_next()
        except BaseException:
            prepared.return_accounts(self._context)
            self._leave(prepared.assigned)
            raise
        await self._begin(prepared.assigned)

    def _leave(self, work: Sequence[Work]) -> None:
        """Leave deliveries that were taken and not begun to the next consumer."""
        self._under_way.subtract(item.lane for item in work)
        self._dirty.set()

    def _close_out(self, prepared: PreparedBatch) -> None:
        """Finish the deliveries that are not sent now."""
        for item in prepared.settled:
            self._close(item)
        for item, result in prepared.finished:
            self._finish(item, result)

    async def _begin(self, admitted: list[Work]) -> None:
        """Hand deliveries with stored intents to the senders, except those cancelled before the intents were stored."""
        context = self._context
        cancelled = context.cancelled.cancelled_of(item.row.delivery_id for item in admitted)
        send, ended = drop_cancelled(admitted, cancelled, context.clock.now_ms())
        for item, result in ended:
            context.accounts.return_unused(item.account)
            self._finish(item, result)
        await self._submit_batch(send)

    async def prepare_offer(self, frames: Sequence[PlacedFrame]) -> PartitionOffer | None:
        """Return an offer for frames about to be stored; None when older ones come first. Reading waits for it."""
        room = self._free_slots()
        few = sum(placed.frame.count for placed in frames) <= min(*room.values(), TURN_DELIVERIES)
        free = self._alive and not self._is_ending and not self._turn.locked()
        if not (few and free and self._backlog.is_done) or self._watch.grown:
            return None
        await self._turn.acquire()  # it is free: this never waits
        early, work = [], []
        try:
            for placed in frames:
                pending, some = self._backlog.early(placed.lane, placed.frame)
                early.append((placed.at, pending))
                work += some
            self._under_way.update(item.lane for item in work)
            prepared = await prepare(self._context, self._lease, self._backlog, work)
        except BaseException:
            self._drop([pending for _, pending in early], work)
            raise
        return PartitionOffer(
            prepared, early, work, self._context.clock.monotonic_ms(), self._on_stored, self._on_dropped
        )

    async def _on_stored(self, offer: PartitionOffer, done: Committed) -> None:
        """Start the offered deliveries: their frames are stored."""
        try:
            for at, pending in offer.early:
                self._backlog.landed(pending, done.offsets[at])
            self._close_out(offer.prepared)
            try:
                await self._context.cancelled.update(done, offer.asked_ms)
            except BaseException as error:
                offer.prepared.return_accounts(self._context)
                self._leave(offer.prepared.assigned)
                if not isinstance(error, UNANSWERED):
                    raise
                self._unreadable = error
                self._watch.wake()
                return
            await self._begin(offer.prepared.assigned)
        finally:
            self._turn.release()

    def _on_dropped(self, offer: PartitionOffer) -> None:
        """Withdraw the offered deliveries: none of their frames is stored."""
        offer.prepared.return_accounts(self._context)
        self._drop([pending for _, pending in offer.early], offer.work)

    def _drop(self, early: Sequence[Pending], work: Sequence[Work]) -> None:
        for pending in early:
            self._backlog.dropped(pending)
        self._leave(work)
        self._turn.release()

    async def _store_intents(self, batch: StageResult) -> None:
        """Store intents, and read the next frames concurrently."""
        reading_next = asyncio.create_task(self._read_next())
        try:
            await self._commit(batch)
            try:
                await reading_next
            except UNANSWERED:  # the intents are stored, and their attempts are made; then it is read again
                self._watch.wake()
        finally:
            reading_next.cancel()
            await asyncio.gather(reading_next, return_exceptions=True)

    async def _commit(self, batch: StageResult) -> None:
        """Commit, and update the cancellations: one that was stored before an intent is durable takes effect."""
        context, asked_ms = self._context, self._context.clock.monotonic_ms()
        await context.cancelled.update(await commit_with_retry(context.store, batch, context.telemetry), asked_ms)

    async def _submit_batch(self, send: Sequence[Work]) -> None:
        """Submit deliveries. Each wakes a sender that renders and builds at once, so the loop yields between some."""
        done = 0
        try:
            for done, item in enumerate(send, 1):
                self._submit_in_order(item)
                if not done % SUBMIT_BATCH:
                    await asyncio.sleep(0)
        finally:
            for item in send[done:]:
                self._context.accounts.return_unused(item.account)

    def _defer(self, item: Work, deferral: Deferral, started_ms: int, *, others: bool = False) -> None:
        self._finish(item, deferred_result(self._context, item, deferral, started_ms, others=others))

    def _submit_in_order(self, item: Work) -> None:
        """Submit a delivery, or queue it behind the one before it with the same ordering key."""
        if item.row.ordering_key is None:
            self._submit(self, item)
            return
        queue = self._ordered.setdefault((item.row.tenant, item.row.user_id, item.row.ordering_key), deque())
        queue.append(item)
        if len(queue) == 1:
            self._submit(self, item)

    async def send(self, item: Work) -> None:
        """Make one attempt and pass its result to the recorder. Called by a sender of the channel's pool."""
        context, row = self._context, item.row
        if context.cancelled.is_stale():
            await until_answered(context.cancelled.refresh, context.telemetry, "send", lambda: self._alive)
        if not self._alive:
            context.accounts.return_unused(item.account)
            await self._report_accounts()
            return  # the lease is lost: the next holder finds the intent and decides
        started_ms = context.clock.now_ms()
        if context.cancelled.cancelled_of((row.delivery_id,)):
            context.accounts.return_unused(item.account)
            self._finish(item, cancelled_result(row, started_ms))
        elif item.account is not None and (deferral := context.accounts.outage_of(item.account)) is not None:
            context.accounts.return_unused(item.account)
            others = context.accounts.has_untried(item.accounts, context.channel, row, deferral.provider)
            self._defer(item, deferral, started_ms, others=others)
        else:
            self._finish(item, await attempt(context, item, started_ms))
        if context.accounts.is_urgent:
            await context.accounts.flush()
        if row.ordering_key is not None:
            self._next_in_order((row.tenant, row.user_id, row.ordering_key))

    async def _report_accounts(self) -> None:
        """Report the use of accounts to other workers."""
        if self._context.accounts.is_due:
            await self._context.accounts.flush()

    def defer_stuck(self, item: Work) -> None:
        """End the turn of a delivery that waits too long for a sender, because its account occupies them all."""
        account = item.account
        if not self._alive or account is None:
            return
        now_ms = self._context.clock.now_ms()
        self._context.accounts.return_unused(account)
        detail = "the provider answers slowly"
        self._defer(item, Deferral(Reason.PACED, now_ms + SLOW_WAIT_MS, detail, account.name, account.vendor), now_ms)
        if item.row.ordering_key is not None:
            self._next_in_order((item.row.tenant, item.row.user_id, item.row.ordering_key))

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
        """Append results, timers and commits in one step, at most every `linger_ms`, until all work is done. A change
        of an account's health is recorded even when it becomes known after the last result was recorded."""
        reading.add_done_callback(self._end)
        with self._context.accounts.breakers.noting(self._dirty):
            await self._record_until(reading)

    def _end(self, _reading: "asyncio.Task[None]") -> None:
        self._is_ending = True
        self._dirty.set()

    async def _record_until(self, reading: "asyncio.Task[None]") -> None:
        while not reading.done() or any(self._under_way.values()):
            await self._dirty.wait()
            self._dirty.clear()
            if not (self._results or self._closed or self._context.accounts.breakers.has_changes()):
                continue
            await self._flush()
            while len(self._results) >= RESULTS_PER_COMMIT:
                await self._flush()
            if self._results:
                self._dirty.set()
            await asyncio.sleep(self._context.linger_ms / 1000)

    def _patience_ms(self, results: int) -> int:
        """Return how long results may wait for another commit: not when they are many or reading waits for them."""
        is_urgent = results >= FEW_RESULTS or self._is_ending or min(self._free_slots().values()) <= 0
        return 0 if is_urgent else RESULTS_WAIT_MS

    async def _flush(self) -> None:
        """Record results, at most `RESULTS_PER_COMMIT` at once."""
        self._closed = False
        finished, self._results = self._results[:RESULTS_PER_COMMIT], self._results[RESULTS_PER_COMMIT:]
        context, partition = self._context, self._lease.partition
        is_awaited = await context.is_awaited(item.row for item, _ in finished)
        with context.telemetry.cpu("deliver"):
            for item, _ in finished:
                item.pending.left -= 1
            lanes = {item.row.delivery_id: item.lane for item, _ in finished}
            done = step_result(context.channel, partition, lanes, [result for _, result in finished])
            account_health = health_frames(partition, context.accounts.breakers.changes())
            commits, intents = self._backlog.settled(one.event for one in done.outcomes)
            batch = StageResult(
                lease=self._lease,
                frames=[*(one.frame for one in done.outcomes), *account_health, *done.fallbacks],
                timers=done.timers,
                progress=GroupProgress(commits, intents),
                cancellations_after=context.cancelled.sequence,
                may_wait_ms=0 if is_awaited else self._patience_ms(len(finished)),
            )
        # Concurrently: a client that reads the result and sends again finds the address suppressed. A repetition
        # changes nothing. An address suppressed by STOP keeps that reason, or START could not lift it.
        learning = [
            until_answered(partial(context.suppressions.add_missing, tenant, entries), context.telemetry, "suppress")
            for tenant, entries in done.suppressions.items()
        ]
        await together(self._commit(batch), *learning)
        context.hurry(is_awaited)
        self._under_way.subtract(item.lane for item, _ in finished)
        self._room.set()
        for outcome, number in done.counts.items():
            context.telemetry.count("attempts", number, channel=context.channel, outcome=outcome)


async def _wait_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
