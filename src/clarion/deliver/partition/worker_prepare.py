"""Preparing deliveries: which are to be sent, through which accounts, and what is stored of that before any attempt."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from clarion.deliver.accounts.assignment import PutOff
from clarion.deliver.accounts.known import Known
from clarion.deliver.partition.gather import gather
from clarion.deliver.partition.results import Result, intents_of, told_of
from clarion.deliver.partition.sift import Facts, Sifted, sift
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_backlog import Backlog
from clarion.deliver.partition.worker_supplies import Supplies
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Turn, parked
from clarion.deliver.rules.window import Pending
from clarion.domain.outcome import Throttled
from clarion.domain.trail import Trail
from clarion.ports.stage_store import Committed, IntentWrite, Lease, Progress, StageResult
from clarion.ports.streams import Frame


class Prepared(NamedTuple):
    """What becomes of a batch: `going` has accounts and is sent once `result` is stored, `ended` has a last result or another
    turn without a call, and `closed` is settled already."""

    going: list[Work]
    ended: list[tuple[Work, Result]]
    closed: list[Work]
    result: StageResult

    def give_back(self, tools: Supplies) -> None:
        """Take back the accounts of what is not sent after all."""
        for item in self.going:
            tools.accounts.unused(item.account)


class PartitionOffer:
    """What one consumer offers of frames that are about to be stored; implements `journal.handover.Offer`. `early` are these
    frames, each with its place among those that are stored."""

    def __init__(
        self,
        prepared: Prepared,
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

    async def stored(self, done: Committed) -> None:
        """Begin the attempts."""
        await self._begin(self, done)

    def dropped(self) -> None:
        """Take everything back."""
        self._withdraw(self)


async def prepare(tools: Supplies, lease: Lease, backlog: Backlog, work: list[Work]) -> Prepared:
    """Sort out what must not be sent, give the rest accounts, and say what of that is stored."""
    facts, known = await gather(tools, work, backlog.legacy)
    with tools.telemetry.cpu("deliver"):
        now_ms = tools.clock.now_ms()
        sifted = sift(work, facts, backlog.legacy, now_ms)
        _take_up(sifted, facts)
    going, ended = await _assigned(tools, known, sifted.send, now_ms)
    try:
        result = _intents(tools, lease, backlog, known, going, sifted.lost, now_ms)
    except BaseException:
        for item in going:
            tools.accounts.unused(item.account)
        raise
    return Prepared(going, [*sifted.ended, *ended], sifted.closed, result)


def put_off(tools: Supplies, item: Work, why: PutOff, started_ms: int, *, others: bool = False) -> Result:
    """Return the result of a turn without a call: the delivery comes back by a timer, at once where `others` may take it."""
    row, now_ms = item.row, tools.clock.now_ms()
    turn = Turn(now_ms, tools.clock.jitter(), why.provider, others=others,
                falls_back=item.degrades, expires_ms=row.expires_ms)  # fmt: skip
    following = parked(why.reason, why.until_ms, item.lane, row.trail or Trail(), tools.policy, turn)
    answer = Answer(Throttled(None, why.detail), why.provider, why.vendor)
    return Result(row, answer, following, started_ms, now_ms)


def _take_up(sifted: Sifted, facts: Facts) -> None:
    """Let deliveries that are sent be what was decided about them."""
    for item, row in sifted.moved:
        item.row = row
    if facts.degrading:
        for item in sifted.send:
            item.degrades = item.row.fallback is not None and (item.row.tenant, item.row.category) in facts.degrading


async def _assigned(
    tools: Supplies, known: Known, work: list[Work], now_ms: int
) -> tuple[list[Work], list[tuple[Work, Result]]]:
    """Give deliveries their accounts; return those that have one, and what none can take now, put off."""
    assigned = await tools.accounts.assign(known, tools.channel, [(item.row, item.lane) for item in work])
    going: list[Work] = []
    waiting: list[tuple[Work, Result]] = []
    for item, verdict in zip(work, assigned, strict=True):
        item.known = known
        if isinstance(verdict, PutOff):
            waiting.append((item, put_off(tools, item, verdict, now_ms)))
        else:
            item.account = verdict
            going.append(item)
    return going, waiting


def _intents(
    tools: Supplies,
    lease: Lease,
    backlog: Backlog,
    known: Known,
    going: list[Work],
    lost: Sequence[Result],
    now_ms: int,
) -> StageResult:
    """Return what is stored of what dead workers lost, and of what is about to be sent."""
    with tools.telemetry.cpu("deliver"):
        rows = [item.row for item in going]
        told = known.to_tell(tools.channel, ((item.row, item.account) for item in going))
        outcomes = [
            *told_of(tools.channel, lease.partition, lost),
            *intents_of(tools.channel, lease.partition, tools.worker, lease.fence, now_ms, rows, told),
        ]
        kept = backlog.intended(one.event for one in outcomes)
        return StageResult(
            lease=lease,
            frames=[one.frame for one in outcomes],
            progress=Progress(intents=kept),
            cancellations_after=tools.cancelled.sequence,
        )
