"""What a partition reads of a batch before it decides: many tenants in one call, and nothing once for each delivery."""

from collections.abc import Iterable, Mapping, Sequence

from clarion.deliver.partition.intake import Legacy
from clarion.deliver.partition.sift import Facts
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_supplies import Supplies
from clarion.domain.content import Account


async def gather(tools: Supplies, work: Sequence[Work], legacy: Legacy | None) -> Facts:
    """Return what is known of deliveries just read, and have ready what they are rendered from."""
    await tools.sender.gather(tools.channel, [item.row for item in work])
    if tools.cancelled.is_stale():
        await tools.cancelled.refresh()
    rows = [item.row for item in work]
    again = [row for row in rows if row.attempt > 1 or row.trail is not None]
    repeated = [row.delivery_id for row in again if row.attempt > 1]
    waited = {(row.tenant, row.address) for row in again}
    routed = {(row.tenant, row.category) for row in rows if row.fallback is not None}
    inherited = set() if legacy is None else {item.row.tenant for item in work if legacy.was_intended(item.row)}
    accounts = await _accounts(tools, inherited) if inherited else {}
    return Facts(
        states=tools.states.states(repeated) if repeated else {},
        suppressed=await _suppressed(tools, waited) if waited else frozenset(),
        cancelled=tools.cancelled.among(item.row.delivery_id for item in work),
        degrading=await _degrading(tools, routed) if routed else frozenset(),
        accounts=accounts,
        on_ambiguous={
            (tenant, one.name): tools.accounts.on_ambiguous(one) for tenant, some in accounts.items() for one in some
        },
    )


async def _suppressed(tools: Supplies, waited: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return the suppressed ones among addresses, by (tenant, address)."""
    by_tenant: dict[str, list[str]] = {}
    for tenant, address in waited:
        by_tenant.setdefault(tenant, []).append(address)
    return frozenset(
        (tenant, address)
        for tenant, addresses in by_tenant.items()
        for address in tools.accounts.suppressed(tenant, tools.channel, addresses)
    )


async def _degrading(tools: Supplies, routed: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return those categories, by (tenant, key), whose routes go on to their next channel while this one is down."""
    return frozenset((tenant, key) for tenant, key in routed if tools.accounts.goes_on(tenant, key))


async def _accounts(tools: Supplies, tenants: Iterable[str]) -> Mapping[str, Sequence[Account]]:
    return {tenant: tools.accounts.of(tenant, tools.channel) for tenant in tenants}
