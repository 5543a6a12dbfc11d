"""Reads accounts and categories for batches of deliveries."""

from collections.abc import Iterable, Mapping
from typing import Final

from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.domain.channel import Channel
from clarion.domain.content import Account, Category
from clarion.domain.limits_delivery import ACCOUNTS_PER_CHANNEL_MAX
from clarion.ports.directory import Directory
from clarion.ports.vendor import Vendor
from clarion.runtime.metering import together

ACCOUNT_LISTS_MAX: Final = 10_000
"""Tenants' lists of accounts, and categories, that a process caches."""


class AccountLists:
    """The accounts and category rules of the directory, cached until the definitions of a tenant change."""

    def __init__(self, directory: Directory, vendors: Mapping[tuple[Channel, str], Vendor]) -> None:
        self._directory = directory
        self._traits = {key: vendor.TRAITS for key, vendor in vendors.items()}
        self._lists: dict[tuple[str, Channel], tuple[int, list[Account]]] = {}
        self._degrading: dict[tuple[str, str], tuple[int, bool]] = {}

    async def gather(
        self, channel: Channel, tenants: Iterable[str], categories: Iterable[tuple[str, str]] = ()
    ) -> AccountSnapshot:
        """Return the accounts of tenants on a channel and the outage rule of categories, named by tenant and key; in
        one round trip, and in none when all is cached. The inbox needs no account to be set up."""
        revision, current = self._directory.revision, self._directory.is_current()
        lists: dict[tuple[str, Channel], list[Account]] = {}
        degrading: dict[tuple[str, str], bool] = {}
        unread: dict[tuple[str, Channel], int] = {}
        unknown: dict[tuple[str, str], int] = {}
        for tenant in tenants:
            place, now = (tenant, channel), revision(tenant)
            if (held := self._lists.get(place)) is not None and held[0] == now and current:
                lists[place] = held[1]
            else:
                unread[place] = now
        for name in categories:
            if not name[1]:
                continue
            now = revision(name[0])
            if (text := self._degrading.get(name)) is not None and text[0] == now and current:
                degrading[name] = text[1]
            else:
                unknown[name] = now
        reading = []
        if unread:
            reading.append(self._read_lists(unread, lists))
        if unknown:
            reading.append(self._read_categories(unknown, degrading))
        if reading:
            await together(*reading)
        return AccountSnapshot(lists, self._traits, degrading)

    async def _read_lists(
        self, unread: Mapping[tuple[str, Channel], int], lists: dict[tuple[str, Channel], list[Account]]
    ) -> None:
        """Read and cache lists. They are at least as new as the revisions, which were read before."""
        found = await self._directory.accounts(list(unread))
        if len(self._lists) + len(unread) > ACCOUNT_LISTS_MAX:
            self._lists.clear()
        for place, revision in unread.items():
            lists[place] = _usable(place, found[place])
            self._lists[place] = revision, lists[place]

    async def _read_categories(
        self, unknown: Mapping[tuple[str, str], int], degrading: dict[tuple[str, str], bool]
    ) -> None:
        found = await self._directory.categories(list(unknown))
        if len(self._degrading) + len(unknown) > ACCOUNT_LISTS_MAX:
            self._degrading.clear()
        for name, revision in unknown.items():
            degrading[name] = _degrades(found.get(name))
            self._degrading[name] = revision, degrading[name]


def _usable(place: tuple[str, Channel], accounts: list[Account]) -> list[Account]:
    tenant, channel = place
    if not accounts and channel is Channel.INAPP:
        return [Account(tenant, "inapp", channel, "inapp", 0, {}, {})]
    return accounts[:ACCOUNTS_PER_CHANNEL_MAX]


def _degrades(category: Category | None) -> bool:
    return category is None or category.rules.on_outage == "degrade"
