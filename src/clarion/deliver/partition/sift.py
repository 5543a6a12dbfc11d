"""Which of the deliveries just read are to be sent, and what becomes of the others."""

from typing import NamedTuple

from msgspec.structs import replace

from clarion.deliver.partition.intake import Legacy
from clarion.deliver.partition.results import Result
from clarion.deliver.partition.supplies import Supplies, Work
from clarion.deliver.rules.loss import after_loss
from clarion.deliver.rules.retry import Next
from clarion.deliver.send.worker import Answer
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import TERMINAL, Event, State
from clarion.domain.outcome import Ambiguous, Refused
from clarion.domain.trail import Trail


class Sifted(NamedTuple):
    """`send` goes out, `closed` is settled already, `ended` got its last result without being sent; `lost` are results
    of attempts that died with their worker, to be recorded before the next attempt."""

    send: list[Work]
    closed: list[Work]
    ended: list[tuple[Work, Result]]
    lost: list[Result]


def unsent(item: Work, event: Event, reason: Reason, now_ms: int) -> Result:
    """Return the result of a delivery that ends without another attempt."""
    return Result(item.row, Answer(Refused(reason.name.lower()), "", ""), Next(event, reason), now_ms, now_ms)


def sift(tools: Supplies, work: list[Work], legacy: Legacy | None) -> Sifted:
    """Sort deliveries by what is known of them: settled, lost, expired or to be sent."""
    now_ms = tools.clock.now_ms()
    repeated = [item.row.delivery_id for item in work if item.row.attempt > 1]
    settled = tools.states.states(repeated) if repeated else {}
    sifted = Sifted([], [], [], [])
    gone = _gone(tools, work)
    for item in work:
        state = settled.get(item.row.delivery_id)
        if (legacy is not None and legacy.has_result(item.row)) or (
            state is not None
            and (state[0] is State.DELIVERED or (state[0] in TERMINAL and state[1] >= item.row.attempt))
        ):
            sifted.closed.append(item)
            continue
        if legacy is not None and legacy.was_intended(item.row) and not _goes_on(tools, item, legacy, now_ms, sifted):
            continue
        if item.row.expires_ms is not None and item.row.expires_ms <= now_ms:
            sifted.ended.append((item, unsent(item, Event.EXPIRED, Reason.EXPIRED, now_ms)))
        elif (item.row.tenant, item.row.address) in gone:
            sifted.ended.append((item, unsent(item, Event.REFUSED, Reason.SUPPRESSED, now_ms)))
        else:
            sifted.send.append(item)
    return sifted


def _gone(tools: Supplies, work: list[Work]) -> set[tuple[str, str]]:
    """Return tenant and address of deliveries that waited while their address was suppressed. Planning looked for the
    others a moment ago."""
    waited: dict[str, list[str]] = {}
    for item in work:
        if item.row.attempt > 1 or item.row.trail is not None:
            waited.setdefault(item.row.tenant, []).append(item.row.address)
    return {
        (tenant, address)
        for tenant, addresses in waited.items()
        for address in tools.accounts.suppressed(tenant, tools.channel, addresses)
    }


def _goes_on(tools: Supplies, item: Work, legacy: Legacy, now_ms: int, sifted: Sifted) -> bool:
    """Record each attempt of the delivery that has an intent and no result; return whether another one follows them. It
    follows with the account that may have made the lost one."""
    lost = 0
    while legacy.was_intended(item.row):
        lost += 1
        name = legacy.provider_of(item.row)
        account = tools.accounts.behind(tools.channel, item.row, name)
        if not legacy.is_recorded(item.row):
            following = after_loss(lost, tools.accounts.on_ambiguous(account))
            vendor = account.vendor if name and account is not None else ""
            answer = Answer(Ambiguous("worker stopped between intent and record"), name, vendor)
            result = Result(item.row, answer, following, now_ms, now_ms)
            if following.event is not Event.AMBIGUOUS:
                sifted.ended.append((item, result))
                return False
            sifted.lost.append(result)
        elif not legacy.goes_on(item.row):
            break
        item.row = item.row._replace(attempt=item.row.attempt + 1)
        if name:
            item.row = item.row._replace(trail=replace(item.row.trail or Trail(), pinned=name))
    # The attempt after a loss may have ended without an intent: expired, or cancelled.
    if legacy.has_result(item.row):
        sifted.closed.append(item)
        return False
    return True
