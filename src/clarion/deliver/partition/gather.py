"""What a partition reads for a batch before it decides: many tenants in one call, and nothing per delivery."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.deliver.partition.recovered import RecoveredAttempts
from clarion.deliver.partition.triage import TriageFacts
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.domain.delivery_state import State
from clarion.runtime.metering import together


async def gather(
    context: ChannelContext, work: Sequence[Work], recovered: RecoveredAttempts | None
) -> tuple[TriageFacts, AccountSnapshot]:
    """Return the facts about deliveries just read and the accounts for them, and load the content they are rendered
    from. All reads run concurrently; for deliveries that were never tried nothing is read once definitions are
    cached."""
    rows = [item.row for item in work]
    tenants = {row.tenant for row in rows}
    again = [row for row in rows if row.attempt > 1 or row.trail is not None]
    repeated = [row.delivery_id for row in again if row.attempt > 1]
    waited = {(row.tenant, row.address) for row in again}
    routed = {(row.tenant, row.category) for row in rows if row.fallback is not None}
    inherited = set() if recovered is None else {item.row.tenant for item in work if recovered.was_intended(item.row)}
    found = _Found()
    await context.sender.catch_up()
    reading: list[Coroutine[Any, Any, None]] = context.sender.missing_reads(context.channel, rows)
    if context.cancelled.is_stale():
        reading.append(context.cancelled.refresh())
    if repeated:
        reading.append(_states(context, repeated, found))
    if waited:
        reading.append(_suppressed(context, waited, found))
    if reading:
        await together(_read_accounts(context, tenants, routed, found), *reading)
    else:
        await _read_accounts(context, tenants, routed, found)
    snapshot = found.accounts
    accounts = {tenant: snapshot.accounts(tenant, context.channel) for tenant in inherited}
    facts = TriageFacts(
        states=found.states,
        suppressed=found.suppressed,
        cancelled=context.cancelled.cancelled_of(row.delivery_id for row in rows),
        degrading=frozenset(named for named in routed if snapshot.degrades(*named)),
        accounts=accounts,
        on_ambiguous={
            (tenant, one.name): snapshot.on_ambiguous(one) for tenant, some in accounts.items() for one in some
        },
    )
    return facts, snapshot


class _Found:
    """The results of concurrent reads."""

    accounts: AccountSnapshot

    def __init__(self) -> None:
        self.states: Mapping[bytes, tuple[State, int]] = {}
        self.suppressed: frozenset[tuple[str, str]] = frozenset()


async def _read_accounts(
    context: ChannelContext, tenants: set[str], routed: set[tuple[str, str]], found: _Found
) -> None:
    found.accounts = await context.accounts.gather(context.channel, tenants, routed)


async def _states(context: ChannelContext, repeated: Sequence[bytes], found: _Found) -> None:
    found.states = await context.states.states(repeated)


async def _suppressed(context: ChannelContext, waited: Iterable[tuple[str, str]], found: _Found) -> None:
    """Set the suppressed ones among addresses, by (tenant, address)."""
    asked: dict[tuple[str, str], list[str]] = {}
    for tenant, address in waited:
        asked.setdefault((tenant, context.channel), []).append(address)
    by_place = await context.accounts.suppressed(asked)
    found.suppressed = frozenset(
        [(tenant, address) for (tenant, _), addresses in by_place.items() for address in addresses]
    )
