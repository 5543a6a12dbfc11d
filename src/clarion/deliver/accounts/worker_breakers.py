"""Whether accounts may be called: this process's observations and those of other processes, at little cost.

While an account works, every decision uses the cached health, and calls are reported now and then. Only an account that
is down or recovering is requested in the shared store, each time. When that store fails, the cached health decides: a
breaker is a hint, and no reason to stop delivering.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from clarion.deliver.accounts.grants import Grant, HealthTransition
from clarion.deliver.accounts.local_health import LocalHealth, LocalHealths, UnreportedTally
from clarion.deliver.rules import breaker as rules
from clarion.deliver.rules.account_tally import is_lasting
from clarion.domain.account_health import AccountHealth, HealthState
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_delivery import (
    HEALTH_CHANGES_MAX,
    HEALTH_CHECK_MS,
    HEALTH_EARLY_MS,
    HEALTH_LOG_MS,
    HEALTH_USED_MS,
)
from clarion.domain.outcome import Outcome
from clarion.ports.account_health import AccountHealthStore
from clarion.ports.clock import Clock
from clarion.ports.telemetry import Telemetry
from clarion.ports.versioned import Versioned
from clarion.runtime.shared_counts import SWAP_TRIES_MAX, Settled, settle_each

_LEVELS: Final = {"open": "error", "degraded": "warning"}

A = TypeVar("A")
_Rule = Callable[[LocalHealth, AccountHealth, UnreportedTally], tuple[AccountHealth, A]]


class _CallGrant(NamedTuple):
    granted: int
    until_ms: int


class Breakers:
    """The breakers of all accounts in one process. Used on one event loop."""

    def __init__(self, account_health: AccountHealthStore, clock: Clock, telemetry: Telemetry) -> None:
        self._account_health = account_health
        self._clock = clock
        self._telemetry = telemetry
        self._views = LocalHealths()
        self._recent: dict[LocalHealth, int] = {}
        """Accounts that are in use, and when they were last used."""
        self._refreshed_ms = self._logged_ms = -HEALTH_LOG_MS
        self._changes: deque[HealthTransition] = deque(maxlen=HEALTH_CHANGES_MAX)
        self._noted: dict[asyncio.Event, None] = {}

    async def refresh(self, accounts: Sequence[Account] = ()) -> None:
        """Read accounts that are used for the first time, report calls, and read the shared health of those in use;
        called once a batch."""
        now_ms = self._clock.monotonic_ms()
        new = self._views.use(accounts)
        if new:
            await self._read_new(new, now_ms)
        if now_ms - self._refreshed_ms < HEALTH_CHECK_MS:
            return
        used = self._take_used(now_ms)
        self._views.use(accounts)  # they stay in use, so the next refresh includes them
        await self._report_and_read([view for view in used if view.is_stale(now_ms)], now_ms)

    async def refresh_early(self) -> None:
        """Do as `refresh` does before it is due, and also for accounts that were in use until a moment ago, so that no
        batch has to wait for it. Called repeatedly, concurrently with deliveries; mostly it does nothing."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._refreshed_ms < HEALTH_EARLY_MS:
            return
        last_ms = now_ms - HEALTH_USED_MS
        self._recent |= dict.fromkeys(self._take_used(now_ms), now_ms)
        self._recent = {view: used_ms for view, used_ms in self._recent.items() if used_ms > last_ms}
        self._views.calm |= {view: None for view in self._recent if not view.is_new and view.is_due(now_ms)}
        await self.flush()
        early_ms = now_ms - HEALTH_EARLY_MS // 2
        await self._read_current([view for view in self._recent if not view.is_new and view.read_ms < early_ms], now_ms)

    def _take_used(self, now_ms: int) -> list[LocalHealth]:
        self._refreshed_ms = now_ms
        return self._views.used()

    async def admit(self, account: Account, wanted: int) -> Grant:
        """Return the grant for calls of one account."""
        (grant,) = await self.admit_each([(account, wanted)])
        return grant

    async def admit_each(self, asked: Sequence[tuple[Account, int]]) -> list[Grant]:
        """Return the grants for calls of several accounts. Granted calls have to be made and reported, or returned."""
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        views = [self._views.at(account) for account, _ in asked]
        if new := [view for view in views if view.is_new]:
            await self._read_new(new, now_ms)
        if old := [view for view in views if view.is_old(now_ms)]:
            await self._report_and_read(old, now_ms)
        grants = [view.grant(wanted, now_ms, wall_ms) for view, (_, wanted) in zip(views, asked, strict=True)]
        if shared := [index for index, grant in enumerate(grants) if grant is None]:
            answers = await self._ask([views[index] for index in shared], [asked[index][1] for index in shared], now_ms)
            for index, (granted, until_ms) in zip(shared, answers, strict=True):
                grants[index] = views[index].refusal(granted, until_ms, now_ms, wall_ms)
        return [grant for grant in grants if grant is not None]

    @property
    def is_due(self) -> bool:
        """Whether `flush` has something to report: now if it `is_urgent`, else now and then."""
        return bool(self._views.due or self._views.calm)

    @property
    def is_urgent(self) -> bool:
        """Whether a report may not wait."""
        return bool(self._views.due)

    async def flush(self) -> None:
        """Send due reports, all accounts together."""
        due: dict[tuple[str, str], LocalHealth] = {}
        for views in (self._views.due, self._views.calm):
            for view in list(views):
                if due.setdefault(view.name, view) is view:
                    views.pop(view, None)
        if due:
            await self._report(list(due.values()), self._clock.monotonic_ms())

    def give_back(self, account: Account) -> None:
        """Note that the last granted call is not made: once that is reported, a probe is free for another worker."""
        self._views.give_back(account)

    def state(self, account: Account) -> HealthState:
        """Return the cached health state of an account."""
        return self._views.state(account)

    def open_detail(self, account: Account) -> str:
        """Return why an account is open, half open, recovering or degraded; empty when it is none of these."""
        return self._views.health(account).detail

    def pace_m(self, account: Account) -> int:
        """Return how fast an account takes its backlog, in thousandths of a message per second: now, or once it has
        recovered. 0 when it is unknown."""
        return self._views.pace_m(account, self._clock.monotonic_ms())

    def report(self, account: Account, outcome: Outcome, began_ms: int | None = None) -> None:
        """Add the outcome of a call. `began_ms` is when it began (Unix ms): a call that began before an account was
        down does not count once it is."""
        now_ms = self._clock.monotonic_ms()
        began = now_ms if began_ms is None else now_ms - (self._clock.now_ms() - began_ms)
        self._views.report(account, outcome, began, now_ms)

    @contextmanager
    def noting(self, changed: asyncio.Event) -> Iterator[None]:
        """Set an event whenever `changes` has something to return."""
        self._noted[changed] = None
        try:
            yield
        finally:
            self._noted.pop(changed, None)

    def has_changes(self) -> bool:
        """Return whether `changes` returns any."""
        return bool(self._changes)

    def changes(self) -> list[HealthTransition]:
        """Return and clear the health changes that this process stored. Each is returned by one process alone, as long
        as the shared store works."""
        result = list(self._changes)
        self._changes.clear()
        return result

    async def _ask(self, views: Sequence[LocalHealth], wanted: Sequence[int], now_ms: int) -> list[_CallGrant]:
        """Request calls in the shared store; return the granted calls, and when the rest may be requested again."""
        number = dict(zip(views, wanted, strict=True))

        def rule(
            view: LocalHealth, old: AccountHealth, unreported: UnreportedTally
        ) -> tuple[AccountHealth, tuple[AccountHealth, _CallGrant]]:
            account = view.account
            settings, version = account.rules.breaker, account.version
            if unreported.given_back:
                old = rules.return_probe(old, version, now_ms, unreported.given_back)
            seen = rules.observe(old, settings, version, now_ms, unreported.tally)
            new, granted, until_ms = rules.admit_calls(seen, settings, version, now_ms, number[view])
            return new, (new, _CallGrant(granted, until_ms))

        answers = await self._step(views, now_ms, rule)
        for view, (health, asked) in zip(views, answers, strict=True):
            if asked.granted and health.state == "half_open":
                view.probe, view.probe_ms = health.until_ms, now_ms
        return [asked for _, asked in answers]

    async def _report(self, views: Sequence[LocalHealth], now_ms: int) -> None:
        def rule(view: LocalHealth, old: AccountHealth, unreported: UnreportedTally) -> tuple[AccountHealth, None]:
            account = view.account
            return rules.report(old, account.rules.breaker, account.version, now_ms, *unreported), None

        await self._step(views, now_ms, rule)

    async def _report_and_read(self, views: Sequence[LocalHealth], now_ms: int) -> None:
        """Send due reports, and read the health of accounts that were not read for `HEALTH_CHECK_MS`."""
        unreported = [view for view in views if view.is_due(now_ms)]
        if unreported:
            await self._report(unreported, now_ms)
        await self._read_current([view for view in views if view.is_old(now_ms)], now_ms)

    async def _read_new(self, views: Sequence[LocalHealth], now_ms: int) -> None:
        """Read the health of accounts that are used for the first time. There is nothing to report yet, except that
        another version begins anew."""
        await self._read_current(views, now_ms)
        changed = []
        for view in views:
            view.is_new, view.reported_ms = False, now_ms
            stored = view.stored
            if stored is not None and stored.version and stored.value.version != view.account.version:
                changed.append(view)
        if changed:
            await self._report(changed, now_ms)

    async def _read_current(self, views: Sequence[LocalHealth], now_ms: int) -> None:
        """Read the current health of accounts; report those where time alone has changed it."""
        if not views:
            return
        known = [view.stored for view in views]
        try:
            found = await self._account_health.read([view.name for view in views])
        except (Overloaded, DurabilityError) as error:
            self._log_failure(error, now_ms)
            found = [Versioned(view.health, 0) for view in views]
        late: list[LocalHealth] = []
        for view, before, stored in zip(views, known, found, strict=True):
            account = view.account
            if view.stored is not before:
                continue  # it was updated during the read: that is newer
            view.health = rules.current(stored.value, account.version, now_ms)
            view.stored, view.read_ms = stored, now_ms
            if rules.age(view.health, account.rules.breaker, account.version, now_ms) is not view.health:
                late.append(view)
        if late:
            await self._report(late, now_ms)

    async def _step(self, views: Sequence[LocalHealth], now_ms: int, rule: _Rule[A]) -> list[A]:
        """Change the health for all workers, or for this one alone when that fails. A tally is reported once, but one
        that opens, pauses or frees an account until it is stored."""
        unreported = [view.take_unreported() for view in views]
        accounts = [view.account for view in views]
        known = [None if view.stored is None else [view.stored] for view in views]

        def decide(
            index: int, values: list[AccountHealth]
        ) -> tuple[list[AccountHealth], tuple[AccountHealth, AccountHealth, A]]:
            (old,) = values
            new, answer = rule(views[index], old, unreported[index])
            return [new], (old, new, answer)

        settled: Sequence[Settled[AccountHealth, tuple[AccountHealth, AccountHealth, A]] | None] = [None] * len(views)
        try:
            settled = await settle_each(
                self._account_health, [[view.name] for view in views], decide, self._clock, known
            )
            if None in settled:
                self._log_failure(Overloaded(f"other workers changed it first {SWAP_TRIES_MAX} times"), now_ms)
        except (Overloaded, DurabilityError) as error:
            self._log_failure(error, now_ms)
        answers = []
        for index, (view, one) in enumerate(zip(views, settled, strict=True)):
            old, new, answer = decide(index, [view.health])[1] if one is None else one.answer
            if view.account is accounts[index]:  # it has not changed meanwhile
                view.update(new, None if one is None else one.now[0], now_ms)
            if one is None and is_lasting(unreported[index].tally):
                view.add(unreported[index].tally)
            if old.state != new.state:
                self._note_change(view.account, old.state, new)
            answers.append(answer)
        return answers

    def _note_change(self, account: Account, before: HealthState, health: AccountHealth) -> None:
        state, detail = health.state, health.detail
        self._changes.append(HealthTransition(account, before, state, detail, self._clock.now_ms()))
        for changed in self._noted:
            changed.set()
        level = "warning" if (before, state) == ("half_open", "open") else _LEVELS.get(state, "info")
        self._telemetry.count("provider_changes", 1, channel=account.channel, state=state)
        self._telemetry.log(
            level,
            f"provider_{state}",
            tenant=account.tenant,
            provider=account.name,
            vendor=account.vendor,
            detail=detail,
        )

    def _log_failure(self, error: Exception, now_ms: int) -> None:
        if now_ms - self._logged_ms >= HEALTH_LOG_MS:
            self._logged_ms = now_ms
            self._telemetry.log("warning", "account_health_unshared", error=str(error))
