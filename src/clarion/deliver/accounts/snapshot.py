"""The accounts of some tenants, as read for a batch, and values derived from them."""

from collections.abc import Iterable, Mapping, Sequence

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.planned import PlannedDelivery
from clarion.ports.vendor import Traits


class AccountSnapshot:
    """Usable accounts by tenant and channel, preferred ones first, and which categories use another channel in an
    outage. A lookup of a tenant or category that was not read raises `KeyError`."""

    __slots__ = ("_degrading", "_lists", "_traits")

    def __init__(
        self,
        lists: Mapping[tuple[str, Channel], list[Account]],
        traits: Mapping[tuple[Channel, str], Traits],
        degrading: Mapping[tuple[str, str], bool],
    ) -> None:
        self._lists = lists
        self._traits = traits
        self._degrading = degrading

    def accounts(self, tenant: str, channel: Channel) -> list[Account]:
        """Return the usable accounts of a channel, preferred ones first."""
        return self._lists[tenant, channel]

    def traits(self, account: Account) -> Traits | None:
        """Return the traits of an account's vendor, or None."""
        return self._traits.get((account.channel, account.vendor))

    def on_ambiguous(self, account: Account | None) -> str:
        """Return the policy for an attempt that an account may have made."""
        if account is None:
            return "retry"
        traits = self.traits(account)
        return account.rules.on_ambiguous or (traits.on_ambiguous if traits else "retry")

    def provider_names(
        self, channel: Channel, given: Iterable[tuple[PlannedDelivery, Account | None]]
    ) -> dict[bytes, str]:
        """Return the accounts' names of those deliveries whose tenant has several, so that recovery knows which account
        may have made a lost attempt."""
        several = {
            tenant for (tenant, which), accounts in self._lists.items() if which == channel and len(accounts) > 1
        }
        if not several:
            return {}
        return {row.delivery_id: one.name for row, one in given if one is not None and row.tenant in several}

    def untried_accounts(self, channel: Channel, row: PlannedDelivery, provider: str) -> Sequence[Account]:
        """Return the accounts other than `provider` that were not tried in this pass and that the delivery may use."""
        if row.trail is not None and row.trail.pinned:
            return ()
        accounts = self.accounts(row.tenant, channel)
        if len(accounts) == 1 and accounts[0].name == provider:
            return ()
        tried = {provider, *(row.trail.tried if row.trail else ())}
        return [account for account in accounts if account.name not in tried]

    def degrades(self, tenant: str, category: str) -> bool:
        """Return whether routes of a category continue with their next channel while this one is down."""
        return not category or self._degrading[tenant, category]
