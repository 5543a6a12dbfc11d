"""Which account each delivery of a batch goes through, decided in rounds: what one account cannot take now, another one may.

Pure: what accounts say comes in, who is asked next and what became of each delivery goes out.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clarion.deliver.accounts.known import Known
from clarion.deliver.rules.choice import chance_of, in_order
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.limits_resilience import OVERFLOW_WAIT_MS
from clarion.domain.planned import PlannedDelivery
from clarion.domain.standing import StandingState
from clarion.domain.trail import Trail

Rows = Sequence[tuple[PlannedDelivery, Lane]]
DOWN: frozenset[StandingState] = frozenset({"open", "half_open"})


class PutOff(NamedTuple):
    """Why no account can take a delivery before `until_ms` (Unix ms); `provider` is the one that was asked last."""

    reason: Reason
    until_ms: int
    detail: str
    provider: str
    vendor: str


class Group:
    """Deliveries of a batch that would go through one account, by their places. `going` are those still to be let through,
    `paid` those among them that took a retry of its budget."""

    __slots__ = ("account", "going", "members", "paid")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.members: list[int] = []
        self.going: list[int] = []
        self.paid: set[int] = set()


class Assignment:
    """A batch on its way to accounts. `demoted` names the accounts that come after all others."""

    def __init__(self, known: Known, channel: Channel, rows: Rows, demoted: Mapping[tuple[str, str], bool]) -> None:
        self.rows = rows
        self.verdicts: list[Account | PutOff | None] = [None] * len(rows)
        self._orders: dict[int, list[Account]] = {}
        self._next: dict[tuple[str, str], Group] = {}
        groups: dict[str, Group | None] = {}
        for index, (row, _) in enumerate(rows):
            tenant = row.tenant
            if tenant not in groups:
                accounts = known.of(tenant, channel)
                groups[tenant] = self._group(accounts[0]) if len(accounts) == 1 else None
            group = groups[tenant]
            if group is not None:
                group.members.append(index)
            elif order := _order(known.of(tenant, channel), row, demoted):
                self._orders[index] = order
                self._group(order[0]).members.append(index)

    def take_round(self) -> list[Group]:
        """Return who is to be asked next; nobody when all is decided."""
        groups, self._next = list(self._next.values()), {}
        return groups

    def give(self, group: Group, indexes: Sequence[int]) -> None:
        """Give deliveries the account that lets them through."""
        for index in indexes:
            self.verdicts[index] = group.account

    def put_off(self, index: int, verdict: PutOff, now_ms: int) -> None:
        """Put a delivery off, or have its next account asked: not for a moment's pace, nor for the sake of a retry."""
        self.verdicts[index] = _earlier(self.verdicts[index], verdict)
        order = self._orders.get(index)
        if order is None or len(order) == 1 or not _overflows(verdict, now_ms):
            return
        self._orders[index] = order[1:]
        self._group(order[1]).members.append(index)

    def _group(self, account: Account) -> Group:
        key = (account.tenant, account.name)
        group = self._next.get(key)
        if group is None:
            group = self._next[key] = Group(account)
        return group


def is_retry(row: PlannedDelivery) -> bool:
    """Return whether a call is a retry to its account: going on to another one within a pass is none."""
    been = row.trail
    return been is not None and been.failures > 0 and not been.tried


def waited(been: Trail | None) -> bool:
    """Return whether a delivery was put off before."""
    return been is not None and been.parks > 0


def refusal(account: Account, reason: Reason, until_ms: int, detail: str) -> PutOff:
    """Return why an account does not take a delivery now."""
    return PutOff(reason, until_ms, detail, account.name, account.vendor)


def by_lane(rows: Rows, indexes: Sequence[int]) -> dict[Lane, list[int]]:
    """Return places of deliveries by their lane."""
    lanes: dict[Lane, list[int]] = {}
    for index in indexes:
        lanes.setdefault(rows[index][1], []).append(index)
    return lanes


def _order(accounts: list[Account], row: PlannedDelivery, demoted: Mapping[tuple[str, str], bool]) -> list[Account]:
    been, chance = row.trail, chance_of(row.delivery_id)
    late = {one.name: demoted[one.tenant, one.name] for one in accounts if (one.tenant, one.name) in demoted}
    found = in_order(accounts, been, late, chance)
    if not found and accounts and been is not None:
        # What was tried is all there is left: the pass begins again.
        found = in_order(accounts, msgspec.structs.replace(been, tried=()), late, chance)
    return found


def _overflows(verdict: PutOff, now_ms: int) -> bool:
    if verdict.reason is Reason.RETRY_BUDGET:
        return False
    return verdict.reason is Reason.PROVIDER_DOWN or verdict.until_ms > now_ms + OVERFLOW_WAIT_MS


def _earlier(before: Account | PutOff | None, now: PutOff) -> PutOff:
    """Return the wait that ends first; a pace rather than an outage."""
    if not isinstance(before, PutOff):
        return now
    if before.reason is not now.reason:
        return before if before.reason is not Reason.PROVIDER_DOWN else now
    return min(before, now, key=lambda one: one.until_ms)
