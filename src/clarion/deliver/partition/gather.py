"""What a partition reads of a batch before it decides: many tenants in one call, and nothing once for each delivery."""

from collections.abc import Iterable, Sequence

from clarion.deliver.accounts.known import Known
from clarion.deliver.partition.legacy import Legacy
from clarion.deliver.partition.sift import Facts
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_supplies import Supplies


async def gather(tools: Supplies, work: Sequence[Work], legacy: Legacy | None) -> tuple[Facts, Known]:
    """Return what is known of deliveries just read and the accounts there are for them, and have ready what they are
    rendered from."""
    await tools.sender.gather(tools.channel, [item.row for item in work])
    if tools.cancelled.is_stale():
        await tools.cancelled.refresh()
    rows = [item.row for item in work]
    again = [row for row in rows if row.attempt > 1 or row.trail is not None]
    repeated = [row.delivery_id for row in again if row.attempt > 1]
    waited = {(row.tenant, row.address) for row in again}
    routed = {(row.tenant, row.category) for row in rows if row.fallback is not None}
    inherited = set() if legacy is None else {item.row.tenant for item in work if legacy.was_intended(item.row)}
    known = await tools.accounts.gather(tools.channel, {item.row.tenant for item in work}, routed)
    accounts = {tenant: known.of(tenant, tools.channel) for tenant in inherited}
    facts = Facts(
        states=await tools.states.states(repeated) if repeated else {},
        suppressed=await _suppressed(tools, waited) if waited else frozenset(),
        cancelled=tools.cancelled.among(item.row.delivery_id for item in work),
        degrading=frozenset(named for named in routed if known.goes_on(*named)),
        accounts=accounts,
        on_ambiguous={(tenant, one.name): known.on_ambiguous(one) for tenant, some in accounts.items() for one in some},
    )
    return facts, known


async def _suppressed(tools: Supplies, waited: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return the suppressed ones among addresses, by (tenant, address)."""
    asked: dict[tuple[str, str], list[str]] = {}
    for tenant, address in waited:
        asked.setdefault((tenant, tools.channel), []).append(address)
    if not asked:
        return frozenset()
    found = await tools.accounts.suppressed(asked)
    return frozenset([(tenant, address) for (tenant, _), addresses in found.items() for address in addresses])
