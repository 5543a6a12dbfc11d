"""Reads accounts and categories for batches of deliveries."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.domain.channel import Channel
from clarion.domain.content import Account, Category
from clarion.domain.limits_delivery import ACCOUNTS_PER_CHANNEL_MAX
from clarion.ports.directory import Directory
from clarion.ports.vendor import Vendor
from clarion.runtime.metering import together
from clarion.runtime.tenant_cache import TenantCache

ACCOUNT_LISTS_MAX: Final = 10_000
"""Tenants' lists of accounts, and categories, that a process caches."""


class AccountLists:
    """The cached accounts and category rules of the directory."""

    def __init__(self, directory: Directory, vendors: Mapping[tuple[Channel, str], Vendor]) -> None:
        self._directory = directory
        self._traits = {key: vendor.TRAITS for key, vendor in vendors.items()}
        self._known = TenantCache(directory, ACCOUNT_LISTS_MAX, _Known)

    async def gather(
        self, channel: Channel, tenants: Iterable[str], categories: Iterable[tuple[str, str]] = ()
    ) -> AccountSnapshot:
        """Return the accounts of tenants on a channel and the outage rule of categories, named by tenant and key; in
        one round trip, and in none when all is cached. The inbox needs no account to be set up."""
        tenants, categories = list(tenants), [name for name in categories if name[1]]
        known = {tenant: self._known.of(tenant) for tenant in {*tenants, *(tenant for tenant, _ in categories)}}
        places = [(tenant, channel) for tenant in tenants if channel not in known[tenant].lists]
        names = [name for name in categories if name[1] not in known[name[0]].degrading]
        reading = []
        if places:
            reading.append(self._read_lists(places, known))
        if names:
            reading.append(self._read_categories(names, known))
        if reading:
            await together(*reading)
            for tenant in {tenant for tenant, _ in (*places, *names)}:
                self._known.keep(tenant, known[tenant], len(known[tenant].lists) + len(known[tenant].degrading))
        lists = {(tenant, channel): known[tenant].lists[channel] for tenant in tenants}
        return AccountSnapshot(lists, self._traits, {name: known[name[0]].degrading[name[1]] for name in categories})

    async def _read_lists(self, places: Collection[tuple[str, Channel]], known: Mapping[str, "_Known"]) -> None:
        found = await self._directory.accounts(places)
        for place in places:
            known[place[0]].lists[place[1]] = _usable(place, found[place])

    async def _read_categories(self, names: Collection[tuple[str, str]], known: Mapping[str, "_Known"]) -> None:
        found = await self._directory.categories(names)
        for tenant, key in names:
            known[tenant].degrading[key] = _degrades(found.get((tenant, key)))


class _Known:
    """The usable accounts of a tenant by channel, and whether each category degrades."""

    __slots__ = ("degrading", "lists")

    def __init__(self) -> None:
        self.lists: dict[Channel, list[Account]] = {}
        self.degrading: dict[str, bool] = {}


def _usable(place: tuple[str, Channel], accounts: list[Account]) -> list[Account]:
    tenant, channel = place
    if not accounts and channel is Channel.INAPP:
        return [Account(tenant, "inapp", channel, "inapp", 0, {}, {})]
    return accounts[:ACCOUNTS_PER_CHANNEL_MAX]


def _degrades(category: Category | None) -> bool:
    return category is None or category.rules.on_outage == "degrade"
