"""Triage of the deliveries just read: those to send, and the results of the rest (expired, cancelled, or lost in flight when a
worker was killed)."""

from collections.abc import Mapping, Sequence, Set
from typing import Final, NamedTuple

from msgspec.structs import replace

from clarion.deliver.partition.recovered import RecoveredAttempts
from clarion.deliver.partition.results import Result
from clarion.deliver.partition.work import Work
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.choice import account_of_lost
from clarion.deliver.rules.lost_attempt import after_loss
from clarion.deliver.rules.retry import Next
from clarion.domain import ids
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import TERMINAL, Event, State
from clarion.domain.outcome import Ambiguous, Refused
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail

_LOST: Final = "worker stopped between intent and record"


class TriageFacts(NamedTuple):
    """The facts about a batch of deliveries of one channel."""

    states: Mapping[bytes, tuple[State, int]]
    """State and newest attempt of those that were tried before."""
    suppressed: Set[tuple[str, str]]
    """Tenant and address of those that waited while their address was suppressed. Planning checked all other deliveries
    a moment ago."""
    cancelled: Set[bytes]
    """Ids of their notifications that were cancelled."""
    degrading: Set[tuple[str, str]]
    """Tenants and categories whose routes continue with another channel when this one is down."""
    accounts: Mapping[str, Sequence[Account]]
    """The accounts of tenants whose deliveries a dead worker had begun."""
    on_ambiguous: Mapping[tuple[str, str], str]
    """The decision after an attempt that one of these `accounts` may have made, by tenant and name."""


class Triage(NamedTuple):
    """`send` is to be sent, `settled` is settled already, `ended` got its last result without being sent; `lost` are
    results of attempts that died with their worker, to be recorded before the next attempt; `reassigned` are those of
    `send` with such attempts, each with its next attempt."""

    send: list[Work]
    settled: list[Work]
    ended: list[tuple[Work, Result]]
    lost: list[Result]
    reassigned: list[tuple[Work, PlannedDelivery]]


class _AfterLoss(NamedTuple):
    """The decision after the lost attempts of a delivery: the next attempt if there is one, or its last result if it
    has none yet."""

    lost: list[Result]
    row: PlannedDelivery | None = None
    end: Result | None = None


def unsent_result(row: PlannedDelivery, event: Event, reason: Reason, now_ms: int) -> Result:
    """Return the result of a delivery that ends without another attempt."""
    return Result(row, Answer(Refused(reason.name.lower()), "", ""), Next(event, reason), now_ms, now_ms)


def triage_deliveries(
    work: Sequence[Work], facts: TriageFacts, recovered: RecoveredAttempts | None, now_ms: int
) -> Triage:
    """Sort deliveries by the facts about them: settled, lost, expired, suppressed, cancelled or to be sent."""
    triage = Triage([], [], [], [], [])
    for item in work:
        row = item.row
        if (recovered is not None and recovered.has_result(row)) or _is_settled(facts.states.get(row.delivery_id), row):
            triage.settled.append(item)
            continue
        if recovered is not None and recovered.was_intended(row):
            after_loss = _follow_lost(row, facts, recovered, now_ms)
            triage.lost.extend(after_loss.lost)
            if after_loss.row is None:
                if after_loss.end is None:
                    triage.settled.append(item)
                else:
                    triage.ended.append((item, after_loss.end))
                continue
            row = after_loss.row
            triage.reassigned.append((item, row))
        if row.expires_ms is not None and row.expires_ms <= now_ms:
            triage.ended.append((item, unsent_result(row, Event.EXPIRED, Reason.EXPIRED, now_ms)))
        elif (row.tenant, row.address) in facts.suppressed:
            triage.ended.append((item, unsent_result(row, Event.REFUSED, Reason.SUPPRESSED, now_ms)))
        elif facts.cancelled and ids.notification_of(row.delivery_id) in facts.cancelled:
            # It ends now, however long its account stays down.
            triage.ended.append((item, cancelled_result(row, now_ms)))
        else:
            triage.send.append(item)
    return triage


def drop_cancelled(
    work: Sequence[Work], cancelled: Set[bytes], now_ms: int
) -> tuple[Sequence[Work], list[tuple[Work, Result]]]:
    """Return the deliveries that are not cancelled, and the cancelled ones with their results."""
    if not cancelled:
        return work, []
    send: list[Work] = []
    ended: list[tuple[Work, Result]] = []
    for item in work:
        if ids.notification_of(item.row.delivery_id) in cancelled:
            ended.append((item, cancelled_result(item.row, now_ms)))
        else:
            send.append(item)
    return send, ended


def cancelled_result(row: PlannedDelivery, now_ms: int) -> Result:
    """Return the result of a cancelled delivery."""
    return unsent_result(row, Event.CANCELLED, Reason.CANCELLED, now_ms)


def _is_settled(state: tuple[State, int] | None, row: PlannedDelivery) -> bool:
    return state is not None and (state[0] is State.DELIVERED or (state[0] in TERMINAL and state[1] >= row.attempt))


def _follow_lost(row: PlannedDelivery, facts: TriageFacts, recovered: RecoveredAttempts, now_ms: int) -> _AfterLoss:
    """Return a result for each attempt of the delivery that has an intent and no result, and the decision after the
    last: another attempt goes to the account that may have made the lost one."""
    number = 0
    lost: list[Result] = []
    while recovered.was_intended(row):
        number += 1
        name = recovered.provider_of(row)
        if not recovered.is_recorded(row):
            result = _lost(row, number, name, facts, now_ms)
            if result.next.event is not Event.AMBIGUOUS:
                return _AfterLoss(lost, end=result)
            lost.append(result)
        elif not recovered.owes_next_attempt(row):
            break
        row = row._replace(attempt=row.attempt + 1)
        if name:
            row = row._replace(trail=replace(row.trail or Trail(), pinned=name))
    # The attempt after a loss may have ended without an intent: expired, or cancelled.
    return _AfterLoss(lost) if recovered.has_result(row) else _AfterLoss(lost, row)


def _lost(row: PlannedDelivery, number: int, name: str, facts: TriageFacts, now_ms: int) -> Result:
    """Return the result of the `number`-th start in a row that died with its worker, through the account of that name."""
    account = account_of_lost(facts.accounts[row.tenant], row.trail, row.delivery_id, name)
    policy = "retry" if account is None else facts.on_ambiguous[row.tenant, account.name]
    vendor = account.vendor if name and account is not None else ""
    return Result(row, Answer(Ambiguous(_LOST), name, vendor), after_loss(number, policy), now_ms, now_ms)
