"""Reads accounts and categories for batches of deliveries."""

from collections.abc import Iterable, Mapping

from clarion.deliver.accounts.known import Known
from clarion.domain.channel import Channel
from clarion.domain.content import Account, Category
from clarion.domain.limits_resilience import ACCOUNTS_PER_CHANNEL_MAX
from clarion.ports.directory import Directory
from clarion.ports.vendor import Vendor


class AccountLists:
    """What deliveries need of the directory to be given accounts."""

    def __init__(self, directory: Directory, vendors: Mapping[tuple[Channel, str], Vendor]) -> None:
        self._directory = directory
        self._traits = {key: vendor.TRAITS for key, vendor in vendors.items()}

    async def gather(
        self, channel: Channel, tenants: Iterable[str], categories: Iterable[tuple[str, str]] = ()
    ) -> Known:
        """Return the accounts of tenants on a channel, and of categories, named by tenant and key, what an outage means to
        them. The inbox needs no account to be set up."""
        places = [(tenant, channel) for tenant in tenants]
        named = {name for name in categories if name[1]}
        found = await self._directory.accounts(places)
        known = await self._directory.categories(named) if named else {}
        lists = {place: _usable(place, found[place]) for place in places}
        return Known(lists, self._traits, {name: _goes_on(known.get(name)) for name in named})


def _usable(place: tuple[str, Channel], accounts: list[Account]) -> list[Account]:
    tenant, channel = place
    if not accounts and channel is Channel.INAPP:
        return [Account(tenant, "inapp", channel, "inapp", 0, {}, {})]
    return accounts[:ACCOUNTS_PER_CHANNEL_MAX]


def _goes_on(category: Category | None) -> bool:
    return category is None or category.rules.on_outage == "degrade"
