"""Which of the deliveries just read are to be sent, and what becomes of the others."""

from collections.abc import Mapping, Sequence, Set
from typing import Final, NamedTuple

from msgspec.structs import replace

from clarion.deliver.partition.legacy import Legacy
from clarion.deliver.partition.results import Result
from clarion.deliver.partition.work import Work
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.choice import behind
from clarion.deliver.rules.loss import after_loss
from clarion.deliver.rules.retry import Next
from clarion.domain import ids
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import TERMINAL, Event, State
from clarion.domain.outcome import Ambiguous, Refused
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail

_LOST: Final = "worker stopped between intent and record"


class Facts(NamedTuple):
    """What is known of a batch of deliveries of one channel."""

    states: Mapping[bytes, tuple[State, int]]
    """State and newest attempt of those that were tried before."""
    suppressed: Set[tuple[str, str]]
    """Tenant and address of those that waited while their address was suppressed. Planning looked for the others a moment
    ago."""
    cancelled: Set[bytes]
    """Ids of their notifications that were cancelled."""
    degrading: Set[tuple[str, str]]
    """Tenants and categories whose routes go on to another channel when this one is down."""
    accounts: Mapping[str, Sequence[Account]]
    """The accounts of tenants whose deliveries a dead worker had begun."""
    on_ambiguous: Mapping[tuple[str, str], str]
    """What follows an attempt that one of these `accounts` may have made, by tenant and name."""


class Sifted(NamedTuple):
    """`send` goes out, `closed` is settled already, `ended` got its last result without being sent; `lost` are results
    of attempts that died with their worker, to be recorded before the next attempt; `moved` are those of `send` of which
    such attempts have to be told, as they go on."""

    send: list[Work]
    closed: list[Work]
    ended: list[tuple[Work, Result]]
    lost: list[Result]
    moved: list[tuple[Work, PlannedDelivery]]


class _Followed(NamedTuple):
    """Where a delivery stands after its lost attempts: the next one, if there is to be one, or its last result, if it has
    none yet."""

    lost: list[Result]
    row: PlannedDelivery | None = None
    end: Result | None = None


def unsent(row: PlannedDelivery, event: Event, reason: Reason, now_ms: int) -> Result:
    """Return the result of a delivery that ends without another attempt."""
    return Result(row, Answer(Refused(reason.name.lower()), "", ""), Next(event, reason), now_ms, now_ms)


def sift(work: Sequence[Work], facts: Facts, legacy: Legacy | None, now_ms: int) -> Sifted:
    """Sort deliveries by what is known of them: settled, lost, expired, suppressed, cancelled or to be sent."""
    sifted = Sifted([], [], [], [], [])
    for item in work:
        row = item.row
        if (legacy is not None and legacy.has_result(row)) or _is_settled(facts.states.get(row.delivery_id), row):
            sifted.closed.append(item)
            continue
        if legacy is not None and legacy.was_intended(row):
            followed = _followed(row, facts, legacy, now_ms)
            sifted.lost.extend(followed.lost)
            if followed.row is None:
                if followed.end is None:
                    sifted.closed.append(item)
                else:
                    sifted.ended.append((item, followed.end))
                continue
            row = followed.row
            sifted.moved.append((item, row))
        if row.expires_ms is not None and row.expires_ms <= now_ms:
            sifted.ended.append((item, unsent(row, Event.EXPIRED, Reason.EXPIRED, now_ms)))
        elif (row.tenant, row.address) in facts.suppressed:
            sifted.ended.append((item, unsent(row, Event.REFUSED, Reason.SUPPRESSED, now_ms)))
        elif facts.cancelled and ids.notification_of(row.delivery_id) in facts.cancelled:
            # It ends now, however long its account stays down.
            sifted.ended.append((item, withdrawn(row, now_ms)))
        else:
            sifted.send.append(item)
    return sifted


def withdraw(
    work: Sequence[Work], cancelled: Set[bytes], now_ms: int
) -> tuple[Sequence[Work], list[tuple[Work, Result]]]:
    """Return the deliveries that are not cancelled, and the others with their results."""
    if not cancelled:
        return work, []
    send: list[Work] = []
    ended: list[tuple[Work, Result]] = []
    for item in work:
        if ids.notification_of(item.row.delivery_id) in cancelled:
            ended.append((item, withdrawn(item.row, now_ms)))
        else:
            send.append(item)
    return send, ended


def withdrawn(row: PlannedDelivery, now_ms: int) -> Result:
    """Return the result of a cancelled delivery."""
    return unsent(row, Event.CANCELLED, Reason.CANCELLED, now_ms)


def _is_settled(state: tuple[State, int] | None, row: PlannedDelivery) -> bool:
    return state is not None and (state[0] is State.DELIVERED or (state[0] in TERMINAL and state[1] >= row.attempt))


def _followed(row: PlannedDelivery, facts: Facts, legacy: Legacy, now_ms: int) -> _Followed:
    """Return a result for each attempt of the delivery that has an intent and none, and what follows them: another one goes
    to the account that may have made the lost one."""
    number = 0
    lost: list[Result] = []
    while legacy.was_intended(row):
        number += 1
        name = legacy.provider_of(row)
        if not legacy.is_recorded(row):
            result = _lost(row, number, name, facts, now_ms)
            if result.next.event is not Event.AMBIGUOUS:
                return _Followed(lost, end=result)
            lost.append(result)
        elif not legacy.goes_on(row):
            break
        row = row._replace(attempt=row.attempt + 1)
        if name:
            row = row._replace(trail=replace(row.trail or Trail(), pinned=name))
    # The attempt after a loss may have ended without an intent: expired, or cancelled.
    return _Followed(lost) if legacy.has_result(row) else _Followed(lost, row)


def _lost(row: PlannedDelivery, number: int, name: str, facts: Facts, now_ms: int) -> Result:
    """Return the result of the `number`-th start in a row that died with its worker, through the account of that name."""
    account = behind(facts.accounts[row.tenant], row.trail, row.delivery_id, name)
    policy = "retry" if account is None else facts.on_ambiguous[row.tenant, account.name]
    vendor = account.vendor if name and account is not None else ""
    return Result(row, Answer(Ambiguous(_LOST), name, vendor), after_loss(number, policy), now_ms, now_ms)
