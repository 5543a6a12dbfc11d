"""Gives each delivery of a batch the account it goes through, or says why none can take it now."""

from collections.abc import Iterable, Mapping, Sequence

from clarion.deliver.accounts.asking import Wanted, is_free
from clarion.deliver.accounts.assignment import (
    DOWN,
    Assignment,
    Group,
    PutOff,
    Rows,
    by_lane,
    is_retry,
    refusal,
    waited,
)
from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.accounts.gather import AccountLists
from clarion.deliver.accounts.judges import Grant
from clarion.deliver.accounts.known import Known
from clarion.deliver.accounts.spacing import Spacing
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.accounts.worker_pace import Pace
from clarion.deliver.rules.retry import URGENT
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.limits_resilience import RETRY_BUDGET_WAIT_MS
from clarion.domain.outcome import Outcome
from clarion.domain.planned import PlannedDelivery
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.vendor import Vendor


class Accounts:
    """The accounts of all tenants as one process uses them. Belongs to one event loop."""

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
    ) -> Known:
        """Return the accounts of tenants on a channel, and what an outage means to categories (tenant and key); take up what
        other workers learnt of these accounts. Called once a batch."""
        tenants = set(tenants)
        known = await self._lists.gather(channel, tenants, categories)
        if channel is not Channel.INAPP:
            await self.breakers.refresh([one for tenant in tenants for one in known.of(tenant, channel)])
        return known

    async def assign(self, known: Known, channel: Channel, rows: Rows) -> list[Account | PutOff | None]:
        """Return for each delivery its account, or why it has to wait; None where the tenant has no account at all."""
        assignment = Assignment(known, channel, rows, self._demoted(known, channel, rows))
        while groups := assignment.take_round():
            if channel is Channel.INAPP:  # the inbox is ours: nobody's outage or limit holds it
                for group in groups:
                    assignment.give(group, group.members)
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

    def others(self, known: Known, channel: Channel, row: PlannedDelivery, provider: str) -> bool:
        """Return whether an account that was not tried in this pass, other than `provider`, may be called."""
        return any(self.breakers.state(account) not in DOWN for account in known.untried(channel, row, provider))

    def down(self, account: Account) -> PutOff | None:
        """Return why an account is not to be called after all, though a delivery was given to it before. Whoever obeys says
        that it is `unused`."""
        if account.channel is Channel.INAPP or self.breakers.state(account) != "open":
            return None
        return refusal(account, Reason.PROVIDER_DOWN, self._clock.now_ms(), self.breakers.open_detail(account))

    def unused(self, account: Account | None) -> None:
        """Take back an account that a delivery was given and did not use."""
        if account is not None and account.channel is not Channel.INAPP:
            self._pace.done(account)
            self.breakers.give_back(account)

    def done(self, account: Account, outcome: Outcome, began_ms: int) -> None:
        """Take what an attempt that began at a time (Unix ms) came to."""
        if account.channel is not Channel.INAPP:
            self._pace.done(account)
            self.breakers.report(account, outcome, began_ms)

    @property
    def is_due(self) -> bool:
        """Whether what was done, or not used, is to be told to the others: now if it `is_urgent`, else all
        accounts together, now and then."""
        return self.breakers.is_due or self._pace.is_due

    @property
    def is_urgent(self) -> bool:
        """Whether what was done, or not used, may not wait."""
        return self.breakers.is_urgent or self._pace.is_due

    async def keep_up(self) -> None:
        """Tell the others, and listen to them before a batch has to. Called again and again beside the work; what may wait is
        told when they are listened to."""
        if self.is_urgent:
            await self.flush()
        await self.breakers.refresh_early()

    async def flush(self) -> None:
        """Tell the others."""
        if self._pace.is_due:
            await self._pace.flush()
        if self.breakers.is_due:
            await self.breakers.flush()

    def _demoted(self, known: Known, channel: Channel, rows: Rows) -> dict[tuple[str, str], bool]:
        tenants = {row.tenant for row, _ in rows}
        return {
            (account.tenant, account.name): True
            for tenant in tenants
            if len(accounts := known.of(tenant, channel)) > 1
            for account in accounts
            if self.breakers.state(account) == "degraded"
        }

    async def _ask(self, assignment: Assignment, groups: Sequence[Group]) -> None:
        """Ask accounts for calls: the budgets of their retries, their limits, and whether they work."""
        for group in groups:
            self._budget(assignment, group)
        if limited := [group for group in groups if group.going and not is_free(group.account)]:
            await self._paced(assignment, limited)
        wanted = [group for group in groups if group.going]
        grants = await self.breakers.admit_each([(group.account, len(group.going)) for group in wanted])
        for group, grant in zip(wanted, grants, strict=True):
            self._granted(assignment, group, grant)
        now_ms = 0
        for group in groups:
            if group.paid:
                now_ms = now_ms or self._clock.monotonic_ms()
                self._budgets.give_back(group.account, len(group.paid), now_ms)

    def _budget(self, assignment: Assignment, group: Group) -> None:
        """Let those go on that are no retries, or paid for one. Of an account that is down nothing is paid for: it is called
        by a probe at most."""
        account, rows = group.account, assignment.rows
        retries = [index for index in group.members if rows[index][0].trail is not None and is_retry(rows[index][0])]
        if not retries or self.breakers.state(account) in DOWN:
            group.going = group.members
            return
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        for index in retries:
            if self._budgets.retry(account, now_ms):
                group.paid.add(index)
            else:
                until_ms = wall_ms + RETRY_BUDGET_WAIT_MS
                why = refusal(account, Reason.RETRY_BUDGET, until_ms, "too many retries at once")
                assignment.put_off(index, why, wall_ms)
        refused = set(retries) - group.paid
        group.going = [index for index in group.members if index not in refused] if refused else group.members

    async def _paced(self, assignment: Assignment, groups: Sequence[Group]) -> None:
        """Put off what accounts' limits do not let go now, lane by lane."""
        rows = assignment.rows
        lanes = [(group, list(by_lane(rows, group.going).items())) for group in groups]
        for group in groups:
            group.going = []
        while lanes:
            asked = [(group, left[0]) for group, left in lanes]
            wanted = [
                Wanted(
                    group.account,
                    lane,
                    [rows[index][0].address for index in indexes],
                    [waited(rows[index][0].trail) for index in indexes],
                )
                for group, (lane, indexes) in asked
            ]
            now_ms = self._clock.now_ms()
            for (group, (_, indexes)), times in zip(asked, await self._pace.take_each(wanted), strict=True):
                for index, until_ms in zip(indexes, times, strict=True):
                    if until_ms is None:
                        group.going.append(index)
                    else:
                        why = refusal(group.account, Reason.PACED, until_ms, "the account's limit is reached")
                        assignment.put_off(index, why, now_ms)
            lanes = [(group, left[1:]) for group, left in lanes if len(left) > 1]

    def _granted(self, assignment: Assignment, group: Group, grant: Grant) -> None:
        account, rows = group.account, assignment.rows
        given = group.going[: grant.granted] if grant.granted < len(group.going) else group.going
        assignment.give(group, given)
        group.paid.difference_update(given)
        fresh = len(given) - sum(1 for index in given if rows[index][0].trail is not None and is_retry(rows[index][0]))
        if fresh:
            self._budgets.fresh(account, fresh, self._clock.monotonic_ms())
        if len(given) < len(group.going):
            self._refuse(assignment, group, grant, group.going[len(given) :])

    def _refuse(self, assignment: Assignment, group: Group, grant: Grant, indexes: Sequence[int]) -> None:
        """Put off those who got no call: of a recovering account they come again in turn, urgent ones soon."""
        account, now_ms = group.account, self._clock.now_ms()
        if not is_free(account):
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
            assignment.put_off(index, refusal(account, reason, until_ms, grant.detail), now_ms)
