"""Preparing deliveries: which are to be sent, through which accounts, and the intents stored before any attempt."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from clarion.deliver.accounts.assignment import Deferral
from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.deliver.partition.gather import gather
from clarion.deliver.partition.results import Result, intents_of, outcome_records
from clarion.deliver.partition.triage import Triage, TriageFacts, triage_deliveries
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_backlog import Backlog
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Turn, parked
from clarion.deliver.rules.window import Pending
from clarion.domain.outcome import Throttled
from clarion.domain.trail import Trail
from clarion.ports.stage_store import Committed, GroupProgress, IntentWrite, Lease, StageResult
from clarion.ports.streams import Frame


class PreparedBatch(NamedTuple):
    """The result of preparing a batch: `assigned` has accounts and is sent once `result` is stored, `finished` has a
    last result or another turn without a call, and `settled` is settled already."""

    assigned: list[Work]
    finished: list[tuple[Work, Result]]
    settled: list[Work]
    result: StageResult

    def return_accounts(self, context: ChannelContext) -> None:
        """Return the accounts of deliveries that are not sent after all."""
        for item in self.assigned:
            context.accounts.return_unused(item.account)


class PartitionOffer:
    """One consumer's offer for frames that are about to be stored; implements `journal.handover.Offer`. `early` are
    these frames, each with its index among those that are stored."""

    def __init__(
        self,
        prepared: PreparedBatch,
        early: Sequence[tuple[int, Pending]],
        work: Sequence[Work],
        asked_ms: int,
        begin: "Callable[[PartitionOffer, Committed], Awaitable[None]]",
        withdraw: "Callable[[PartitionOffer], None]",
    ) -> None:
        self.prepared = prepared
        self.early = early
        self.work = work
        self.asked_ms = asked_ms
        self._begin = begin
        self._withdraw = withdraw
        self.frames: Sequence[Frame] = prepared.result.frames
        self.intents: Sequence[IntentWrite] = prepared.result.progress.intents
        self.cancellations_after = prepared.result.cancellations_after or 0

    async def on_stored(self, done: Committed) -> None:
        """Start the attempts."""
        await self._begin(self, done)

    def on_dropped(self) -> None:
        """Withdraw the offer."""
        self._withdraw(self)


async def prepare(context: ChannelContext, lease: Lease, backlog: Backlog, work: list[Work]) -> PreparedBatch:
    """Return a prepared batch: deliveries are triaged, the rest is assigned accounts, and its intents are collected for
    storage. Reads facts and takes calls of accounts, but stores nothing of the batch."""
    facts, accounts = await gather(context, work, backlog.recovered)
    with context.telemetry.cpu("deliver"):
        now_ms = context.clock.now_ms()
        triage = triage_deliveries(work, facts, backlog.recovered, now_ms)
        _apply_triage(triage, facts)
    with_account, ended = await _assign(context, accounts, triage.send, now_ms)
    try:
        result = _intents(context, lease, backlog, accounts, with_account, triage.lost, now_ms)
    except BaseException:
        for item in with_account:
            context.accounts.return_unused(item.account)
        raise
    return PreparedBatch(with_account, [*triage.ended, *ended], triage.settled, result)


def deferred_result(
    context: ChannelContext, item: Work, cause: Deferral, started_ms: int, *, others: bool = False
) -> Result:
    """Return the result of a turn without a call: a timer brings the delivery back, at once where `others` (other
    accounts) may take it."""
    row, now_ms = item.row, context.clock.now_ms()
    turn = Turn(now_ms, context.clock.jitter(), cause.provider, others=others,
                falls_back=item.degrades, expires_ms=row.expires_ms)  # fmt: skip
    following = parked(cause.reason, cause.until_ms, item.lane, row.trail or Trail(), context.policy, turn)
    answer = Answer(Throttled(None, cause.detail), cause.provider, cause.vendor)
    return Result(row, answer, following, started_ms, now_ms)


def _apply_triage(triage: Triage, facts: TriageFacts) -> None:
    """Apply the decisions of triage to deliveries that are sent."""
    for item, row in triage.reassigned:
        item.row = row
    if facts.degrading:
        for item in triage.send:
            item.degrades = item.row.fallback is not None and (item.row.tenant, item.row.category) in facts.degrading


async def _assign(
    context: ChannelContext, accounts: AccountSnapshot, work: list[Work], now_ms: int
) -> tuple[list[Work], list[tuple[Work, Result]]]:
    """Assign accounts to deliveries; return those that have one, and those that no account can take now with their
    deferrals."""
    assigned = await context.accounts.assign(accounts, context.channel, [(item.row, item.lane) for item in work])
    with_account: list[Work] = []
    waiting: list[tuple[Work, Result]] = []
    for item, verdict in zip(work, assigned, strict=True):
        item.accounts = accounts
        if isinstance(verdict, Deferral):
            waiting.append((item, deferred_result(context, item, verdict, now_ms)))
        else:
            item.account = verdict
            with_account.append(item)
    return with_account, waiting


def _intents(
    context: ChannelContext,
    lease: Lease,
    backlog: Backlog,
    accounts: AccountSnapshot,
    with_account: list[Work],
    lost: Sequence[Result],
    now_ms: int,
) -> StageResult:
    """Return the stage result with the attempts that dead workers lost and the intents of those about to be made."""
    with context.telemetry.cpu("deliver"):
        rows = [item.row for item in with_account]
        records = accounts.provider_names(context.channel, ((item.row, item.account) for item in with_account))
        outcomes = [
            *outcome_records(context.channel, lease.partition, lost),
            *intents_of(context.channel, lease.partition, context.worker, lease.fence, now_ms, rows, records),
        ]
        intents = backlog.intended(one.event for one in outcomes)
        return StageResult(
            lease=lease,
            frames=[one.frame for one in outcomes],
            progress=GroupProgress(intents=intents),
            cancellations_after=context.cancelled.sequence,
        )
