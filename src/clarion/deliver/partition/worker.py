"""One channel, one partition, one lease: recover, then read, intend, send, record and commit until told to stop."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from clarion.deliver.accounts.accounts import PutOff
from clarion.deliver.partition.backlog import Backlog
from clarion.deliver.partition.results import Result, fallbacks_of, frames_of, intents_of, standing_frames, timers_of
from clarion.deliver.partition.sift import sift, unsent
from clarion.deliver.partition.supplies import Supplies, Work
from clarion.deliver.rules.retry import Turn, after, parked
from clarion.deliver.send.worker import Answer
from clarion.domain import ids
from clarion.domain.channel import LANES, Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits import CANCELLATIONS_PER_READ_MAX
from clarion.domain.outcome import Accepted, InvalidRecipient, Throttled, name_of
from clarion.domain.trail import Trail
from clarion.journal import topics
from clarion.journal.patience import append
from clarion.journal.rows import DeliverRow
from clarion.ports.control_accounts import Suppression
from clarion.ports.journal import Append, Lease

IDLE_WAIT_MS = 500
STOP_CHECK_S = 0.1
CANCELLED_CHECK_MS = 50
"""How old the knowledge of cancellations may be when a delivery that waited for a sender is sent."""

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
        self._under_way: Counter[Lane] = Counter()
        self._alive = True
        self._dirty = asyncio.Event()
        self._room = asyncio.Event()
        self._cancelled: set[bytes] = set()
        self._cancelled_seen = 0
        self._cancelled_ms = 0
        self._ordered: dict[tuple[str, str, str], deque[Work]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then finish what was started. Raises `StaleLease` when the lease is lost."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(stop))
                group.create_task(self._record(reading))
        finally:
            self._alive = False
            for queue in self._ordered.values():
                for item in list(queue)[1:]:  # nobody submits what stands behind a first one any more
                    self._t.accounts.unused(item.account)

    async def _read(self, stop: asyncio.Event) -> None:
        watch = self._t.journal.watch(topics.GROUP_TOPICS[self._lease.group], self._lease.partition)
        for _ in self._backlog.recover():
            await asyncio.sleep(0)
        while not stop.is_set():
            room = {lane: self._t.window - self._under_way[lane] for lane in LANES}
            with self._t.telemetry.cpu("deliver"):
                work = self._backlog.take(room)
            if work:
                await self._start(work)
            elif min(room.values()) > 0:
                await watch.wait(IDLE_WAIT_MS)
            else:
                self._room.clear()
                await _within(self._room, STOP_CHECK_S)

    async def _start(self, work: list[Work]) -> None:
        """Sort out what must not be sent, write intents for the rest, then hand it to the senders."""
        self._under_way.update(item.lane for item in work)
        await self._t.sender.gather(item.row for item in work)
        with self._t.telemetry.cpu("deliver"):
            sifted = sift(self._t, work, self._backlog.legacy)
            for item in sifted.closed:
                self._close(item)
            for item, result in sifted.ended:
                self._finish(item, result)
            partition, now_ms = self._lease.partition, self._t.clock.now_ms()
            # Whoever was cancelled while it waited ends now, however long its account stays down.
            self._learn_cancelled()
            going = self._assigned([item for item in sifted.send if not self._is_cancelled(item, now_ms)], now_ms)
            rows = [item.row for item in going]
            frames = frames_of(self._t.channel, partition, sifted.lost)
            told = self._t.accounts.to_tell(self._t.channel, [(item.row, item.account) for item in going])
            frames += intents_of(self._t.channel, partition, self._t.worker, self._lease.fence, now_ms, rows, told)
        try:
            if frames:
                await append(self._t.journal, Append(frames=frames, lease=self._lease), self._t.telemetry)
        except BaseException:
            for item in going:
                self._t.accounts.unused(item.account)
            raise
        # Asked after the intent is durable: whoever cancelled before that is obeyed.
        self._learn_cancelled()
        for item in going:
            if self._is_cancelled(item, now_ms):
                self._t.accounts.unused(item.account)
            else:
                self._order(item)

    def _assigned(self, work: list[Work], now_ms: int) -> list[Work]:
        """Give deliveries their accounts and return those that have one; what none can take now is put off."""
        self._t.accounts.breakers.refresh()
        assigned = self._t.accounts.assign(self._t.channel, [(item.row, item.lane) for item in work])
        going = []
        for item, verdict in zip(work, assigned, strict=True):
            if isinstance(verdict, PutOff):
                self._put_off(item, verdict, now_ms)
            else:
                item.account = verdict
                going.append(item)
        return going

    def _put_off(self, item: Work, why: PutOff, started_ms: int, *, others: bool = False) -> None:
        """End a turn without a call: the delivery comes back by a timer, at once where `others` may take it."""
        row, now_ms = item.row, self._t.clock.now_ms()
        turn = Turn(now_ms, self._t.clock.jitter(), why.provider, others=others,
                    falls_back=self._degrades(row), expires_ms=row.expires_ms)  # fmt: skip
        following = parked(why.reason, why.until_ms, item.lane, row.trail or Trail(), self._t.policy, turn)
        answer = Answer(Throttled(None, why.detail), why.provider, why.vendor)
        self._finish(item, Result(row, answer, following, started_ms, now_ms))

    def _degrades(self, row: DeliverRow) -> bool:
        """Return whether a route goes on to another channel when this one is down."""
        return row.fallback is not None and self._t.accounts.goes_on(row.tenant, row.category)

    def _is_cancelled(self, item: Work, now_ms: int) -> bool:
        """Return whether somebody cancelled the delivery; if so, that is its end."""
        if ids.notification_of(item.row.delivery_id) not in self._cancelled:
            return False
        self._finish(item, unsent(item, Event.CANCELLED, Reason.CANCELLED, now_ms))
        return True

    def _learn_cancelled(self) -> None:
        self._cancelled_ms = self._t.clock.monotonic_ms()
        fresh = True
        while fresh:  # one read is bounded, and whoever takes over a partition starts at the first cancellation
            self._cancelled_seen, subjects = self._t.journal.cancelled_since(self._cancelled_seen)
            self._cancelled.update(subjects)
            fresh = len(subjects) == CANCELLATIONS_PER_READ_MAX

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
        if not self._alive:
            self._t.accounts.unused(item.account)
            return  # the lease is gone: the next holder finds the intent and decides
        tools, row = self._t, item.row
        started_ms = tools.clock.now_ms()
        if tools.clock.monotonic_ms() - self._cancelled_ms >= CANCELLED_CHECK_MS:
            self._learn_cancelled()
        if self._is_cancelled(item, started_ms):
            tools.accounts.unused(item.account)
        elif item.account is not None and (why := tools.accounts.down(item.account)) is not None:
            others = tools.accounts.others(tools.channel, row, why.provider)
            self._put_off(item, why, started_ms, others=others)
        else:
            await self._attempt(item, started_ms)
        if row.ordering_key is not None:
            self._next_in_order((row.tenant, row.user_id, row.ordering_key))

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
        turn = Turn(
            tools.clock.now_ms(),
            tools.clock.jitter(),
            answer.provider,
            others=not isinstance(answer.outcome, Accepted)
            and tools.accounts.others(tools.channel, row, answer.provider),
            falls_back=self._degrades(row),
            on_ambiguous=tools.accounts.on_ambiguous(account),
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
        self._dirty.set()

    async def _record(self, reading: "asyncio.Task[None]") -> None:
        """Append results, timers and commits in one step, at most every `linger_ms`, until all work is done."""
        while not reading.done() or any(self._under_way.values()):
            if not await _within(self._dirty, STOP_CHECK_S):
                continue
            self._dirty.clear()
            await self._flush()
            await asyncio.sleep(self._t.linger_ms / 1000)

    async def _flush(self) -> None:
        finished, self._results = self._results, []
        with self._t.telemetry.cpu("deliver"):
            results = [result for _, result in finished]
            for item, _ in finished:
                item.pending.left -= 1
            lanes = {item.row.delivery_id: item.lane for item, _ in finished}
            batch = Append(
                frames=[
                    *frames_of(self._t.channel, self._lease.partition, results),
                    *standing_frames(self._lease.partition, self._t.accounts.breakers.changes()),
                    *fallbacks_of(lanes, self._lease.partition, results),
                ],
                timers=timers_of(self._t.channel, lanes, self._lease.partition, results),
                commits=self._backlog.commits(),
                lease=self._lease,
            )
        await append(self._t.journal, batch, self._t.telemetry)
        self._under_way.subtract(item.lane for item, _ in finished)
        self._room.set()
        await self._suppress(results)
        self._count(results)

    async def _suppress(self, results: list[Result]) -> None:
        """Keep dead addresses from being tried again; repeated after a crash, it changes nothing. What somebody said STOP to
        keeps that reason, or START could not lift it."""
        now_ms = self._t.clock.now_ms()
        dead: dict[str, list[Suppression]] = {}
        for result in results:
            if isinstance(result.answer.outcome, InvalidRecipient):
                entry = Suppression(self._t.channel, result.row.address, "invalid_recipient", now_ms, None)
                dead.setdefault(result.row.tenant, []).append(entry)
        for tenant, entries in dead.items():
            await self._t.suppressions.learn(tenant, entries)

    def _count(self, results: list[Result]) -> None:
        totals: dict[str, int] = {}
        for result in results:
            name = "parked" if result.next.event is Event.PARKED else name_of(result.answer.outcome)
            totals[name] = totals.get(name, 0) + 1
        for outcome, number in totals.items():
            self._t.telemetry.count("attempts", number, channel=self._t.channel, outcome=outcome)


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
