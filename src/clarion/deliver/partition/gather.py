"""What a partition reads of a batch before it decides: many tenants in one call, and nothing once for each delivery."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

from clarion.deliver.accounts.known import Known
from clarion.deliver.partition.legacy import Legacy
from clarion.deliver.partition.sift import Facts
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_supplies import Supplies
from clarion.domain.delivery_state import State
from clarion.ports.metering import together


async def gather(tools: Supplies, work: Sequence[Work], legacy: Legacy | None) -> tuple[Facts, Known]:
    """Return what is known of deliveries just read and the accounts there are for them, and have ready what they are
    rendered from. All of it is read side by side; of deliveries that were never tried nothing is, once definitions are
    known."""
    rows = [item.row for item in work]
    tenants = {row.tenant for row in rows}
    again = [row for row in rows if row.attempt > 1 or row.trail is not None]
    repeated = [row.delivery_id for row in again if row.attempt > 1]
    waited = {(row.tenant, row.address) for row in again}
    routed = {(row.tenant, row.category) for row in rows if row.fallback is not None}
    inherited = set() if legacy is None else {item.row.tenant for item in work if legacy.was_intended(item.row)}
    found = _Found()
    await tools.sender.catch_up()
    reading: list[Coroutine[Any, Any, None]] = tools.sender.lacking(tools.channel, rows)
    if tools.cancelled.is_stale():
        reading.append(tools.cancelled.refresh())
    if repeated:
        reading.append(_states(tools, repeated, found))
    if waited:
        reading.append(_suppressed(tools, waited, found))
    if reading:
        await together(_known(tools, tenants, routed, found), *reading)
    else:
        await _known(tools, tenants, routed, found)
    known = found.known
    accounts = {tenant: known.of(tenant, tools.channel) for tenant in inherited}
    facts = Facts(
        states=found.states,
        suppressed=found.suppressed,
        cancelled=tools.cancelled.among(row.delivery_id for row in rows),
        degrading=frozenset(named for named in routed if known.goes_on(*named)),
        accounts=accounts,
        on_ambiguous={(tenant, one.name): known.on_ambiguous(one) for tenant, some in accounts.items() for one in some},
    )
    return facts, known


class _Found:
    """What reads side by side bring."""

    known: Known

    def __init__(self) -> None:
        self.states: Mapping[bytes, tuple[State, int]] = {}
        self.suppressed: frozenset[tuple[str, str]] = frozenset()


async def _known(tools: Supplies, tenants: set[str], routed: set[tuple[str, str]], found: _Found) -> None:
    found.known = await tools.accounts.gather(tools.channel, tenants, routed)


async def _states(tools: Supplies, repeated: Sequence[bytes], found: _Found) -> None:
    found.states = await tools.states.states(repeated)


async def _suppressed(tools: Supplies, waited: Iterable[tuple[str, str]], found: _Found) -> None:
    """Find the suppressed ones among addresses, by (tenant, address)."""
    asked: dict[tuple[str, str], list[str]] = {}
    for tenant, address in waited:
        asked.setdefault((tenant, tools.channel), []).append(address)
    by_place = await tools.accounts.suppressed(asked)
    found.suppressed = frozenset(
        [(tenant, address) for (tenant, _), addresses in by_place.items() for address in addresses]
    )
