"""Reads accounts and categories for batches of deliveries."""

from collections.abc import Iterable, Mapping

from clarion.deliver.accounts.known import Known
from clarion.domain.channel import Channel
from clarion.domain.content import Account
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
        lists = {(tenant, channel): self._accounts(tenant, channel) for tenant in tenants}
        return Known(lists, self._traits, {named: self._goes_on(*named) for named in categories if named[1]})

    def _accounts(self, tenant: str, channel: Channel) -> list[Account]:
        accounts = self._directory.accounts(tenant, channel)[:ACCOUNTS_PER_CHANNEL_MAX]
        if not accounts and channel is Channel.INAPP:
            return [Account(tenant, "inapp", channel, "inapp", 0, {}, {})]
        return accounts

    def _goes_on(self, tenant: str, category: str) -> bool:
        found = self._directory.category(tenant, category)
        return found is None or found.rules.on_outage == "degrade"
