"""Assigns each delivery of a batch an account that is healthy and has capacity, failing over to the next one, or returns why
none can take it now."""

from collections.abc import Iterable, Mapping, Sequence

from clarion.deliver.accounts.assignment import (
    DOWN,
    AccountGroup,
    Assignment,
    Deferral,
    Rows,
    by_lane,
    deferral,
    is_retry,
    was_deferred,
)
from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.accounts.gather import AccountLists
from clarion.deliver.accounts.grants import Grant
from clarion.deliver.accounts.limit_request import CallDemand, is_unlimited
from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.deliver.accounts.spacing import Spacing
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.accounts.worker_pace import Pace
from clarion.deliver.rules.retry import URGENT
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.limits_delivery import RETRY_BUDGET_WAIT_MS
from clarion.domain.outcome import Outcome
from clarion.domain.planned import PlannedDelivery
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.vendor import Vendor


class Accounts:
    """The accounts of all tenants, as used by one process. Belongs to one event loop."""

    def __init__(
        self,
        directory: Directory,
        vendors: Mapping[tuple[Channel, str], Vendor],
        breakers: Breakers,
        pace: Pace,
        budgets: Budgets,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._lists = AccountLists(directory, vendors)
        self.breakers = breakers
        self._pace = pace
        self._budgets = budgets
        self._clock = clock
        self._spacing = Spacing()

    async def gather(
        self, channel: Channel, tenants: Iterable[str], categories: Iterable[tuple[str, str]] = ()
    ) -> AccountSnapshot:
        """Return the accounts of tenants on a channel and the outage rule of categories (tenant and key), and refresh
        the shared health of these accounts. Called once a batch."""
        tenants = set(tenants)
        snapshot = await self._lists.gather(channel, tenants, categories)
        if channel is not Channel.INAPP:
            await self.breakers.refresh([one for tenant in tenants for one in snapshot.accounts(tenant, channel)])
        return snapshot

    async def assign(self, snapshot: AccountSnapshot, channel: Channel, rows: Rows) -> list[Account | Deferral | None]:
        """Return for each delivery its account, or the deferral; None where the tenant has no account at all."""
        assignment = Assignment(snapshot, channel, rows, self._find_demoted(snapshot, channel, rows))
        while groups := assignment.next_round():
            if channel is Channel.INAPP:  # the inbox is local: no outage and no limit applies
                for group in groups:
                    assignment.assign(group, group.members)
            else:
                await self._ask(assignment, groups)
        if self.is_urgent:
            await self.flush()
        return assignment.verdicts

    async def suppressed(
        self, wanted: Mapping[tuple[str, str], Sequence[str]]
    ) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """Return, by (tenant, channel), the suppressed ones among addresses with the reason."""
        return await self._directory.suppressed(wanted)

    def has_untried(self, snapshot: AccountSnapshot, channel: Channel, row: PlannedDelivery, provider: str) -> bool:
        """Return whether an account that was not tried in this pass, other than `provider`, may be called."""
        return any(
            self.breakers.state(account) not in DOWN for account in snapshot.untried_accounts(channel, row, provider)
        )

    def outage_of(self, account: Account) -> Deferral | None:
        """Return the deferral of an assigned delivery whose account has opened since, or None. A caller that defers
        returns the account with `return_unused`."""
        if account.channel is Channel.INAPP or self.breakers.state(account) != "open":
            return None
        return deferral(account, Reason.PROVIDER_DOWN, self._clock.now_ms(), self.breakers.open_detail(account))

    def return_unused(self, account: Account | None) -> None:
        """Return an account that a delivery was assigned and did not use."""
        if account is not None and account.channel is not Channel.INAPP:
            self._pace.end_call(account)
            self.breakers.give_back(account)

    def report_outcome(self, account: Account, outcome: Outcome, began_ms: int) -> None:
        """Report the outcome of an attempt that began at `began_ms` (Unix ms)."""
        if account.channel is not Channel.INAPP:
            self._pace.end_call(account)
            self.breakers.report(account, outcome, began_ms)

    @property
    def is_due(self) -> bool:
        """Whether something is to be reported to other workers: now if it `is_urgent`, else all accounts together, now
        and then."""
        return self.breakers.is_due or self._pace.is_due

    @property
    def is_urgent(self) -> bool:
        """Whether a report may not wait."""
        return self.breakers.is_urgent or self._pace.is_due

    async def sync(self) -> None:
        """Send urgent reports, and refresh the shared health before a batch needs it; other reports are sent with
        that refresh. Called repeatedly, concurrently with deliveries."""
        if self.is_urgent:
            await self.flush()
        await self.breakers.refresh_early()

    async def flush(self) -> None:
        """Report to other workers."""
        if self._pace.is_due:
            await self._pace.flush()
        if self.breakers.is_due:
            await self.breakers.flush()

    def _find_demoted(self, snapshot: AccountSnapshot, channel: Channel, rows: Rows) -> dict[tuple[str, str], bool]:
        tenants = {row.tenant for row, _ in rows}
        return {
            (account.tenant, account.name): True
            for tenant in tenants
            if len(accounts := snapshot.accounts(tenant, channel)) > 1
            for account in accounts
            if self.breakers.state(account) == "degraded"
        }

    async def _ask(self, assignment: Assignment, groups: Sequence[AccountGroup]) -> None:
        """Request calls of accounts: against their retry budgets, their limits and their health."""
        for group in groups:
            self._budget(assignment, group)
        if limited := [group for group in groups if group.going and not is_unlimited(group.account)]:
            await self._apply_limits(assignment, limited)
        wanted = [group for group in groups if group.going]
        grants = await self.breakers.admit_each([(group.account, len(group.going)) for group in wanted])
        for group, grant in zip(wanted, grants, strict=True):
            self._apply_grant(assignment, group, grant)
        now_ms = 0
        for group in groups:
            if group.paid:
                now_ms = now_ms or self._clock.monotonic_ms()
                self._budgets.give_back(group.account, len(group.paid), now_ms)

    def _budget(self, assignment: Assignment, group: AccountGroup) -> None:
        """Select the deliveries of a group that are no retries, and the retries that the budget allows; defer the rest.
        An account that is down spends no budget: only a probe may call it."""
        account, rows = group.account, assignment.rows
        retries = [index for index in group.members if rows[index][0].trail is not None and is_retry(rows[index][0])]
        if not retries or self.breakers.state(account) in DOWN:
            group.going = group.members
            return
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        for index in retries:
            if self._budgets.take_retry(account, now_ms):
                group.paid.add(index)
            else:
                until_ms = wall_ms + RETRY_BUDGET_WAIT_MS
                cause = deferral(account, Reason.RETRY_BUDGET, until_ms, "too many retries at once")
                assignment.defer(index, cause, wall_ms)
        refused = set(retries) - group.paid
        group.going = [index for index in group.members if index not in refused] if refused else group.members

    async def _apply_limits(self, assignment: Assignment, groups: Sequence[AccountGroup]) -> None:
        """Defer deliveries over the limits of their accounts, lane by lane."""
        rows = assignment.rows
        lanes = [(group, list(by_lane(rows, group.going).items())) for group in groups]
        for group in groups:
            group.going = []
        while lanes:
            asked = [(group, left[0]) for group, left in lanes]
            wanted = [
                CallDemand(
                    group.account,
                    lane,
                    [rows[index][0].address for index in indexes],
                    [was_deferred(rows[index][0].trail) for index in indexes],
                )
                for group, (lane, indexes) in asked
            ]
            now_ms = self._clock.now_ms()
            for (group, (_, indexes)), times in zip(asked, await self._pace.draw_each(wanted), strict=True):
                for index, until_ms in zip(indexes, times, strict=True):
                    if until_ms is None:
                        group.going.append(index)
                    else:
                        cause = deferral(group.account, Reason.PACED, until_ms, "the account's limit is reached")
                        assignment.defer(index, cause, now_ms)
            lanes = [(group, left[1:]) for group, left in lanes if len(left) > 1]

    def _apply_grant(self, assignment: Assignment, group: AccountGroup, grant: Grant) -> None:
        account, rows = group.account, assignment.rows
        given = group.going[: grant.granted] if grant.granted < len(group.going) else group.going
        assignment.assign(group, given)
        group.paid.difference_update(given)
        fresh = len(given) - sum(1 for index in given if rows[index][0].trail is not None and is_retry(rows[index][0]))
        if fresh:
            self._budgets.add_attempts(account, fresh, self._clock.monotonic_ms())
        if len(given) < len(group.going):
            self._refuse(assignment, group, grant, group.going[len(given) :])

    def _refuse(self, assignment: Assignment, group: AccountGroup, grant: Grant, indexes: Sequence[int]) -> None:
        """Defer the deliveries that got no call: those of a recovering account are spaced at its pace, urgent ones try
        again soon."""
        account, now_ms = group.account, self._clock.now_ms()
        if not is_unlimited(account):
            self._pace.give_back(account, len(indexes))
        reason = Reason.PROVIDER_DOWN if grant.state in DOWN else Reason.PACED
        times = [grant.until_ms] * len(indexes)
        if grant.state == "recovering":
            pace_m = self.breakers.pace_m(account)
            turns = self._spacing.turns((account.tenant, account.name), now_ms, pace_m, len(indexes))
            times = [
                grant.until_ms if assignment.rows[index][1] in URGENT else turn_ms
                for index, turn_ms in zip(indexes, turns, strict=True)
            ]
        for index, until_ms in zip(indexes, times, strict=True):
            assignment.defer(index, deferral(account, reason, until_ms, grant.detail), now_ms)
