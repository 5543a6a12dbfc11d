"""Assigns an account to each delivery of a batch, in rounds: failover before a call. A delivery whose account is unhealthy, or
has no capacity now, may go to the next account.

Pure: it takes the answers of accounts, and returns the accounts to ask next and the verdict of each delivery.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.deliver.rules.choice import chance_of, in_order
from clarion.domain.account_health import HealthState
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.limits_delivery import OVERFLOW_WAIT_MS
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail

Rows = Sequence[tuple[PlannedDelivery, Lane]]
DOWN: frozenset[HealthState] = frozenset({"open", "half_open"})


class Deferral(NamedTuple):
    """Why no account can take a delivery before `until_ms` (Unix ms); `provider` is the one that was asked last."""

    reason: Reason
    until_ms: int
    detail: str
    provider: str
    vendor: str


class AccountGroup:
    """Deliveries of a batch that would go through one account, by index. `going` are those not refused so far, `paid`
    those among them that took a retry of its budget."""

    __slots__ = ("account", "going", "members", "paid")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.members: list[int] = []
        self.going: list[int] = []
        self.paid: set[int] = set()


class Assignment:
    """The assignment of a batch to accounts. `demoted` names the accounts that come after all other accounts."""

    def __init__(
        self, snapshot: AccountSnapshot, channel: Channel, rows: Rows, demoted: Mapping[tuple[str, str], bool]
    ) -> None:
        self.rows = rows
        self.verdicts: list[Account | Deferral | None] = [None] * len(rows)
        self._orders: dict[int, list[Account]] = {}
        self._next: dict[tuple[str, str], AccountGroup] = {}
        groups: dict[str, AccountGroup | None] = {}
        for index, (row, _) in enumerate(rows):
            tenant = row.tenant
            if tenant not in groups:
                accounts = snapshot.accounts(tenant, channel)
                groups[tenant] = self._group(accounts[0]) if len(accounts) == 1 else None
            group = groups[tenant]
            if group is not None:
                group.members.append(index)
            elif order := _order(snapshot.accounts(tenant, channel), row, demoted):
                self._orders[index] = order
                self._group(order[0]).members.append(index)

    def next_round(self) -> list[AccountGroup]:
        """Return the groups to ask next; none when all is decided."""
        groups, self._next = list(self._next.values()), {}
        return groups

    def assign(self, group: AccountGroup, indexes: Sequence[int]) -> None:
        """Assign deliveries to the account that admits them."""
        for index in indexes:
            self.verdicts[index] = group.account

    def defer(self, index: int, verdict: Deferral, now_ms: int) -> None:
        """Defer a delivery, or queue it for its next account: not when the wait is short, nor when the retry budget
        refused it."""
        self.verdicts[index] = _earlier(self.verdicts[index], verdict)
        order = self._orders.get(index)
        if order is None or len(order) == 1 or not _overflows(verdict, now_ms):
            return
        self._orders[index] = order[1:]
        self._group(order[1]).members.append(index)

    def _group(self, account: Account) -> AccountGroup:
        key = (account.tenant, account.name)
        group = self._next.get(key)
        if group is None:
            group = self._next[key] = AccountGroup(account)
        return group


def is_retry(row: PlannedDelivery) -> bool:
    """Return whether a call counts as a retry at its account: a call to another account within a pass does not."""
    been = row.trail
    return been is not None and been.failures > 0 and not been.tried


def was_deferred(been: Trail | None) -> bool:
    """Return whether a delivery was deferred before."""
    return been is not None and been.parks > 0


def deferral(account: Account, reason: Reason, until_ms: int, detail: str) -> Deferral:
    """Return the reason why an account does not take a delivery now."""
    return Deferral(reason, until_ms, detail, account.name, account.vendor)


def by_lane(rows: Rows, indexes: Sequence[int]) -> dict[Lane, list[int]]:
    """Return the indexes of deliveries by lane."""
    lanes: dict[Lane, list[int]] = {}
    for index in indexes:
        lanes.setdefault(rows[index][1], []).append(index)
    return lanes


def _order(accounts: list[Account], row: PlannedDelivery, demoted: Mapping[tuple[str, str], bool]) -> list[Account]:
    been, chance = row.trail, chance_of(row.delivery_id)
    late = {one.name: demoted[one.tenant, one.name] for one in accounts if (one.tenant, one.name) in demoted}
    found = in_order(accounts, been, late, chance)
    if not found and accounts and been is not None:
        # All remaining accounts were tried: the pass begins again.
        found = in_order(accounts, msgspec.structs.replace(been, tried=()), late, chance)
    return found


def _overflows(verdict: Deferral, now_ms: int) -> bool:
    if verdict.reason is Reason.RETRY_BUDGET:
        return False
    return verdict.reason is Reason.PROVIDER_DOWN or verdict.until_ms > now_ms + OVERFLOW_WAIT_MS


def _earlier(before: Account | Deferral | None, now: Deferral) -> Deferral:
    """Return the deferral that ends first; a pace takes precedence over an outage."""
    if not isinstance(before, Deferral):
        return now
    if before.reason is not now.reason:
        return before if before.reason is not Reason.PROVIDER_DOWN else now
    return min(before, now, key=lambda one: one.until_ms)
