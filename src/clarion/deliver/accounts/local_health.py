"""The health of accounts as cached by one process, and what the process has not reported yet."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from clarion.deliver.accounts.grants import Grant
from clarion.deliver.rules import breaker as rules
from clarion.deliver.rules.account_tally import NOTHING, add_tallies, is_lasting, tally_of
from clarion.domain.account_health import AccountHealth, HealthState, Tally
from clarion.domain.content import Account
from clarion.domain.limits_delivery import (
    ACCOUNT_HEALTH_MAX,
    HEALTH_CHECK_MS,
    HEALTH_CLEAN_MS,
    HEALTH_FAILURES_UNREPORTED_MAX,
    THROTTLES_TO_PAUSE,
)
from clarion.domain.outcome import Accepted, Outcome
from clarion.ports.account_health import AccountName
from clarion.ports.versioned import Versioned

PAUSED: Final = "the provider asked for a pause"


class UnreportedTally(NamedTuple):
    """A process's next report about an account: calls, and the probe it was granted and did not make."""

    tally: Tally
    given_back: int


class LocalHealth:
    """An account's health in this process. `tally` is unreported, `successes` are successful calls not included in it;
    `probe` is the probe this process was granted, `given_back` one that it did not make, `throttles` how many calls in
    a row were throttled. `is_new` until the first lookup; `stored` is the store's value at the last read."""

    __slots__ = (
        "account",
        "given_back",
        "health",
        "is_new",
        "name",
        "probe",
        "probe_ms",
        "read_ms",
        "reported_ms",
        "stored",
        "successes",
        "tally",
        "throttles",
    )  # fmt: skip

    def __init__(self, account: Account) -> None:
        self.name = AccountName(account.tenant, account.name)
        self.reported_ms = self.throttles = self.probe_ms = 0
        self.reset(account)

    def reset(self, account: Account) -> None:
        """Start over with an account, or with another version of it."""
        self.account = account
        self.health = AccountHealth(version=account.version)
        self.tally = NOTHING
        self.successes = self.probe = self.given_back = self.read_ms = 0
        self.is_new = True
        self.stored: Versioned[AccountHealth] | None = None

    def add(self, tally: Tally) -> None:
        """Add to the unreported tally."""
        self.tally = tally if self.tally is NOTHING else add_tallies(self.tally, tally)

    def unreported(self) -> Tally:
        """Return the tally of all unreported calls."""
        if self.successes:
            calls, self.successes = self.successes, 0
            self.add(Tally(calls))
        return self.tally

    def take_unreported(self) -> UnreportedTally:
        """Return the unreported calls and probe and clear them, so that they are reported once."""
        result = UnreportedTally(self.unreported(), self.given_back)
        self.tally, self.given_back = NOTHING, 0
        return result

    def update(self, health: AccountHealth, stored: Versioned[AccountHealth] | None, now_ms: int) -> None:
        """Set the health after a report; `stored` is None where the report failed."""
        self.health, self.stored, self.is_new = health, stored, False
        self.read_ms = self.reported_ms = now_ms

    def release(self) -> None:
        """Return the probe that this process was granted, for another worker."""
        self.given_back, self.probe = self.probe, 0

    def is_stale(self, now_ms: int) -> bool:
        """Return whether the store was not read, or nothing was reported, for `HEALTH_CHECK_MS`."""
        return now_ms - min(self.read_ms, self.reported_ms) >= HEALTH_CHECK_MS

    def is_old(self, now_ms: int) -> bool:
        """Return whether the store was not read for `HEALTH_CHECK_MS`."""
        return now_ms - self.read_ms >= HEALTH_CHECK_MS

    def is_due(self, now_ms: int) -> bool:
        """Return whether the unreported tally has waited long enough."""
        tally = self.unreported()
        if tally is NOTHING:
            return False
        if tally.failures >= HEALTH_FAILURES_UNREPORTED_MAX:
            return True
        hurried = tally.failures > 0 or is_lasting(tally)
        return now_ms - self.reported_ms >= (HEALTH_CHECK_MS if hurried else HEALTH_CLEAN_MS)

    def grant(self, wanted: int, now_ms: int, wall_ms: int) -> Grant | None:
        """Return the grant by the cached health; None where only the shared health can decide."""
        health = self.health
        if health.state in ("closed", "degraded") and now_ms >= health.paused_until_ms:
            return Grant(wanted, 0, health.state, "")
        until_ms = max(health.until_ms, health.paused_until_ms)
        if health.state == "recovering" or now_ms >= until_ms:
            return None
        if health.state == "half_open":
            rule, version = self.account.rules.breaker, self.account.version
            _, _, until_ms = rules.admit_calls(health, rule, version, now_ms, wanted)
        return self.refusal(0, until_ms, now_ms, wall_ms)

    def refusal(self, granted: int, until_ms: int, now_ms: int, wall_ms: int) -> Grant:
        """Return a grant of `granted` calls with the reason why there are no more."""
        health = self.health
        detail = PAUSED if now_ms < health.paused_until_ms else health.detail
        return Grant(granted, wall_ms + until_ms - now_ms, health.state, detail)


class LocalHealths:
    """The cached health of all accounts in use. Times are of the monotonic clock. `due` are those with something to
    report now, `calm` those with successful calls only, reported soon together with other accounts; both in the order in
    which they were added, so that the order of work never depends on where objects lie in memory."""

    def __init__(self) -> None:
        self._views: dict[tuple[str, str], LocalHealth] = {}
        self._used: dict[LocalHealth, None] = {}
        self.due: dict[LocalHealth, None] = {}
        self.calm: dict[LocalHealth, None] = {}

    def use(self, accounts: Iterable[Account]) -> list[LocalHealth]:
        """Note that accounts are in use; return those that were never looked up."""
        new = []
        for account in accounts:
            view = self.at(account)
            self._used[view] = None
            if view.is_new:
                new.append(view)
        return new

    def used(self) -> list[LocalHealth]:
        """Return the accounts used since the last call, and clear them."""
        used, self._used = self._used, {}
        return list(used)

    def at(self, account: Account) -> LocalHealth:
        """Return the entry of an account, a new one if need be."""
        key = (account.tenant, account.name)
        view = self._views.get(key)
        if view is None:
            self._make_room()
            view = self._views[key] = LocalHealth(account)
        elif view.account.version != account.version:
            view.reset(account)
        return view

    def state(self, account: Account) -> HealthState:
        """Return the health state of an account."""
        return self.health(account).state

    def health(self, account: Account) -> AccountHealth:
        """Return the health of an account; one that was never used here is assumed to be closed."""
        view = self._views.get((account.tenant, account.name))
        if view is None or view.account.version != account.version:
            return AccountHealth(version=account.version)
        return view.health

    def pace_m(self, account: Account, now_ms: int) -> int:
        """Return how fast an account takes its backlog, in thousandths of a message per second: now, or once it has
        recovered. 0 when it is unknown."""
        health = self.health(account)
        return health.rate_m if health.state in ("closed", "degraded") else rules.pace_m(health, now_ms)

    def give_back(self, account: Account) -> None:
        """Note that the last granted call is not made: a probe is released for another worker."""
        view = self._views.get((account.tenant, account.name))
        if view is not None and view.probe:
            view.release()
            self.due[view] = None

    def report(self, account: Account, outcome: Outcome, began_ms: int, now_ms: int) -> None:
        """Add the outcome of a call. A call that began before an account was down does not count once it is."""
        view = self._views.get((account.tenant, account.name))
        if view is None:
            view = self.at(account)
        elif view.account.version != account.version:
            return  # a call with earlier settings
        self._used[view] = None
        health = view.health
        if type(outcome) is Accepted and health.state == "closed":
            view.successes += 1
            view.throttles = 0
            if now_ms - view.reported_ms >= HEALTH_CLEAN_MS:
                self.calm[view] = None
            return
        tally = tally_of(outcome, now_ms)
        view.throttles = view.throttles + 1 if tally.paused_until_ms else 0
        if health.state in ("closed", "degraded"):
            if not 0 < view.throttles < THROTTLES_TO_PAUSE:  # a few throttled messages do not pause the account
                self._count(view, tally, now_ms)
        elif health.state == "recovering":
            if began_ms >= health.changed_ms:
                self._count(view, tally, now_ms)
        elif view.probe and began_ms >= view.probe_ms:
            self._answer(view, tally)

    def _count(self, view: LocalHealth, tally: Tally, now_ms: int) -> None:
        """Add to the unreported tally."""
        if tally is NOTHING:
            return
        longer = tally.paused_until_ms > view.health.paused_until_ms + HEALTH_CHECK_MS
        view.add(tally)
        if longer or tally.misconfigured is not None or view.is_due(now_ms):
            self.due[view] = None

    def _answer(self, view: LocalHealth, tally: Tally) -> None:
        """Apply the outcome of the probe."""
        if tally is NOTHING:
            view.release()
        else:
            probe, view.probe = view.probe, 0
            view.tally = Tally(tally.calls, tally.failures, tally.misconfigured, tally.paused_until_ms, probe)
        self.due[view] = None

    def _make_room(self) -> None:
        if len(self._views) >= ACCOUNT_HEALTH_MAX:
            oldest = self._views.pop(next(iter(self._views)))
            self._used.pop(oldest, None)
            if oldest.unreported() is not NOTHING:
                self.due[oldest] = None
