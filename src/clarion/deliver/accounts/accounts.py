"""Gives each delivery of a batch the account it goes through, or says why none can take it now."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clarion.deliver.accounts.judges import Breaking, Budgeting, Grant, Pacing
from clarion.deliver.accounts.spacing import Spacing
from clarion.deliver.rules.choice import chance_of, in_order
from clarion.deliver.rules.retry import URGENT
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.limits_resilience import ACCOUNTS_PER_CHANNEL_MAX, OVERFLOW_WAIT_MS, RETRY_BUDGET_WAIT_MS
from clarion.domain.outcome import Outcome
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.vendor import Traits, Vendor


class PutOff(NamedTuple):
    """Why no account can take a delivery before `until_ms` (Unix ms); `provider` is the one that was asked last."""

    reason: Reason
    until_ms: int
    detail: str
    provider: str
    vendor: str


class Accounts:
    """The accounts of all tenants as one process uses them."""

    def __init__(
        self,
        directory: Directory,
        vendors: Mapping[tuple[Channel, str], Vendor],
        breakers: Breaking,
        pace: Pacing,
        budgets: Budgeting,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._vendors = vendors
        self.breakers = breakers
        self._pace = pace
        self._budgets = budgets
        self._clock = clock
        self._spacing = Spacing()

    def of(self, tenant: str, channel: Channel) -> list[Account]:
        """Return the accounts of a channel that are ever asked, preferred ones first; the inbox needs none to be set up."""
        accounts = self._directory.accounts(tenant, channel)[:ACCOUNTS_PER_CHANNEL_MAX]
        if not accounts and channel is Channel.INAPP:
            return [Account(tenant, "inapp", channel, "inapp", 0, {}, {})]
        return accounts

    def suppressed(self, tenant: str, channel: Channel, addresses: Sequence[str]) -> Mapping[str, str]:
        """Return the suppressed ones among addresses, with the reason."""
        return self._directory.suppressed(tenant, channel, addresses)

    def traits(self, account: Account) -> Traits | None:
        """Return the traits of an account's vendor."""
        vendor = self._vendors.get((account.channel, account.vendor))
        return vendor.TRAITS if vendor else None

    def on_ambiguous(self, account: Account | None) -> str:
        """Return what follows an attempt that an account may have made."""
        if account is None:
            return "retry"
        traits = self.traits(account)
        return account.rules.on_ambiguous or (traits.on_ambiguous if traits else "retry")

    def to_tell(self, channel: Channel, given: Sequence[tuple[PlannedDelivery, Account | None]]) -> dict[bytes, str]:
        """Return the accounts' names of those deliveries whose tenant has several, so that whoever finds an attempt lost
        knows which one may have made it."""
        several = {tenant: len(self.of(tenant, channel)) > 1 for tenant in {row.tenant for row, _ in given}}
        return {row.delivery_id: one.name for row, one in given if one is not None and several[row.tenant]}

    def assign(self, channel: Channel, rows: Sequence[tuple[PlannedDelivery, Lane]]) -> list[Account | PutOff | None]:
        """Return for each delivery its account, or why it has to wait; None where the tenant has no account at all."""
        assigned: list[Account | PutOff | None] = [None] * len(rows)
        orders: dict[int, list[Account]] = {}
        for index, (row, _) in enumerate(rows):
            orders[index] = self._order(channel, row)
        waiting = [index for index in orders if orders[index]]
        while waiting:
            groups: dict[str, list[int]] = {}
            for index in waiting:
                row = rows[index][0]
                groups.setdefault(f"{len(row.tenant)}{row.tenant}{orders[index][0].name}", []).append(index)
            waiting = []
            for members in groups.values():
                account = orders[members[0]][0]
                for index, verdict in self._ask(account, members, rows):
                    assigned[index] = _earlier(assigned[index], verdict)
                    if isinstance(verdict, PutOff) and self._overflows(verdict) and len(orders[index]) > 1:
                        orders[index] = orders[index][1:]
                        waiting.append(index)
        return assigned

    def others(self, channel: Channel, row: PlannedDelivery, provider: str) -> bool:
        """Return whether an account that was not tried in this pass, other than `provider`, may be called."""
        if row.trail is not None and row.trail.pinned:
            return False
        tried = {provider, *(row.trail.tried if row.trail else ())}
        return any(
            account.name not in tried and self.breakers.state(account) not in ("open", "half_open")
            for account in self.of(row.tenant, channel)
        )

    def down(self, account: Account) -> PutOff | None:
        """Return why an account is not to be called after all, though a delivery was given to it before."""
        if account.channel is Channel.INAPP or self.breakers.state(account) != "open":
            return None
        detail = self.breakers.open_detail(account)
        return PutOff(Reason.PROVIDER_DOWN, self._clock.now_ms(), detail, account.name, account.vendor)

    def unused(self, account: Account | None) -> None:
        """Take back an account that a delivery was given and did not use."""
        if account is not None and account.channel is not Channel.INAPP:
            self._pace.done(account)
            self.breakers.give_back(account)

    def goes_on(self, tenant: str, category: str) -> bool:
        """Return whether routes of a category go on to their next channel while this one is down."""
        found = self._directory.category(tenant, category) if category else None
        return found is None or found.rules.on_outage == "degrade"

    def done(self, account: Account, outcome: Outcome, began_ms: int) -> None:
        """Take what an attempt that began at a time (Unix ms) came to."""
        if account.channel is not Channel.INAPP:
            self._pace.done(account)
            self.breakers.report(account, outcome, began_ms)

    def _order(self, channel: Channel, row: PlannedDelivery) -> list[Account]:
        accounts, been = self.of(row.tenant, channel), row.trail
        if len(accounts) == 1:
            return accounts
        demoted = {account.name: self.breakers.state(account) == "degraded" for account in accounts}
        chance = chance_of(row.delivery_id)
        found = in_order(accounts, been, demoted, chance)
        if not found and accounts and been is not None:
            # What was tried is all there is left: the pass begins again.
            found = in_order(accounts, msgspec.structs.replace(been, tried=()), demoted, chance)
        return found

    def _ask(
        self, account: Account, members: list[int], rows: Sequence[tuple[PlannedDelivery, Lane]]
    ) -> list[tuple[int, Account | PutOff]]:
        """Return what an account says to deliveries that would go through it, in their order."""
        if account.channel is Channel.INAPP:
            return [(index, account) for index in members]  # the inbox is ours: nobody's outage or limit holds it
        verdicts: list[tuple[int, Account | PutOff]] = []
        going: list[int] = []
        paid: set[int] = set()
        # Of an account that is down nothing is paid for: it is called by a probe at most.
        down = self.breakers.state(account) in ("open", "half_open")
        for index in members:
            if down or not _is_retry(rows[index][0].trail):
                going.append(index)
            elif self._budgets.retry(account):
                going.append(index)
                paid.add(index)
            else:
                until_ms = self._clock.now_ms() + RETRY_BUDGET_WAIT_MS
                verdicts.append((index, _put_off(account, Reason.RETRY_BUDGET, until_ms, "too many retries at once")))
        going, paced = self._paced(account, going, rows)
        verdicts += paced
        grant = self.breakers.admit(account, len(going)) if going else Grant(0)
        for index in going[: grant.granted]:
            verdicts.append((index, account))
            paid.discard(index)
            if not _is_retry(rows[index][0].trail):
                self._budgets.fresh(account)
        if paid:
            self._budgets.give_back(account, len(paid))
        verdicts += self._refused(account, grant, going[grant.granted :], rows)
        return verdicts

    def _refused(
        self, account: Account, grant: Grant, indexes: list[int], rows: Sequence[tuple[PlannedDelivery, Lane]]
    ) -> list[tuple[int, Account | PutOff]]:
        """Return when those may come again who got no call: of a recovering account in turn, urgent ones soon."""
        if not indexes:
            return []
        if not self._pace.free(account):
            self._pace.give_back(account, len(indexes))
        if grant.state in ("open", "half_open"):
            return [(index, _put_off(account, Reason.PROVIDER_DOWN, grant.until_ms, grant.detail)) for index in indexes]
        times = [grant.until_ms] * len(indexes)
        if grant.state == "recovering":
            turns = self._spacing.turns(
                (account.tenant, account.name), self._clock.now_ms(), self.breakers.pace_m(account), len(indexes)
            )
            times = [
                grant.until_ms if rows[index][1] in URGENT else turn_ms
                for index, turn_ms in zip(indexes, turns, strict=True)
            ]
        return [
            (index, _put_off(account, Reason.PACED, until_ms, grant.detail))
            for index, until_ms in zip(indexes, times, strict=True)
        ]

    def _paced(
        self, account: Account, going: list[int], rows: Sequence[tuple[PlannedDelivery, Lane]]
    ) -> tuple[list[int], list[tuple[int, Account | PutOff]]]:
        """Return the deliveries that an account's limits let go now, and the others with when they may come again."""
        if not going or self._pace.free(account):
            return going, []
        free: list[int] = []
        late: list[tuple[int, Account | PutOff]] = []
        by_lane: dict[Lane, list[int]] = {}
        for index in going:
            by_lane.setdefault(rows[index][1], []).append(index)
        for lane, indexes in by_lane.items():
            times = self._pace.take(
                account,
                lane,
                [rows[index][0].address for index in indexes],
                [_waited(rows[index][0].trail) for index in indexes],
            )
            for index, until_ms in zip(indexes, times, strict=True):
                if until_ms is None:
                    free.append(index)
                else:
                    late.append((index, _put_off(account, Reason.PACED, until_ms, "the account's limit is reached")))
        return free, late

    def _overflows(self, verdict: PutOff) -> bool:
        """Return whether another account is asked instead of waiting: not for a moment's pace, nor for the sake of a
        retry."""
        if verdict.reason is Reason.RETRY_BUDGET:
            return False
        return verdict.reason is Reason.PROVIDER_DOWN or verdict.until_ms > self._clock.now_ms() + OVERFLOW_WAIT_MS


def _is_retry(been: Trail | None) -> bool:
    """Return whether a call is a retry to its account: going on to another one within a pass is none."""
    return been is not None and been.failures > 0 and not been.tried


def _waited(been: Trail | None) -> bool:
    return been is not None and been.parks > 0


def _put_off(account: Account, reason: Reason, until_ms: int, detail: str) -> PutOff:
    return PutOff(reason, until_ms, detail, account.name, account.vendor)


def _earlier(before: Account | PutOff | None, now: Account | PutOff) -> Account | PutOff:
    """Return an account rather than none, and otherwise the wait that ends first; a pace rather than an outage."""
    if not isinstance(before, PutOff) or not isinstance(now, PutOff):
        return now
    if before.reason is not now.reason:
        return before if before.reason is not Reason.PROVIDER_DOWN else now
    return min(before, now, key=lambda one: one.until_ms)
