"""The accounts of some tenants, as they were read for a batch, and what follows from them."""

from collections.abc import Iterable, Mapping, Sequence

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.planned import PlannedDelivery
from clarion.ports.vendor import Traits


class Known:
    """Accounts by tenant and channel that are ever asked, preferred ones first, and which categories go on elsewhere in an
    outage. Looking for what was not read raises `KeyError`."""

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

    def of(self, tenant: str, channel: Channel) -> list[Account]:
        """Return the accounts of a channel that are ever asked, preferred ones first."""
        return self._lists[tenant, channel]

    def traits(self, account: Account) -> Traits | None:
        """Return the traits of an account's vendor."""
        return self._traits.get((account.channel, account.vendor))

    def on_ambiguous(self, account: Account | None) -> str:
        """Return what follows an attempt that an account may have made."""
        if account is None:
            return "retry"
        traits = self.traits(account)
        return account.rules.on_ambiguous or (traits.on_ambiguous if traits else "retry")

    def to_tell(self, channel: Channel, given: Iterable[tuple[PlannedDelivery, Account | None]]) -> dict[bytes, str]:
        """Return the accounts' names of those deliveries whose tenant has several, so that whoever finds an attempt lost
        knows which one may have made it."""
        several = {
            tenant for (tenant, which), accounts in self._lists.items() if which == channel and len(accounts) > 1
        }
        if not several:
            return {}
        return {row.delivery_id: one.name for row, one in given if one is not None and row.tenant in several}

    def untried(self, channel: Channel, row: PlannedDelivery, provider: str) -> Sequence[Account]:
        """Return the accounts other than `provider` that were not tried in this pass and may be, as far as the delivery
        goes."""
        if row.trail is not None and row.trail.pinned:
            return ()
        accounts = self.of(row.tenant, channel)
        if len(accounts) == 1 and accounts[0].name == provider:
            return ()
        tried = {provider, *(row.trail.tried if row.trail else ())}
        return [account for account in accounts if account.name not in tried]

    def goes_on(self, tenant: str, category: str) -> bool:
        """Return whether routes of a category go on to their next channel while this one is down."""
        return not category or self._degrading[tenant, category]
