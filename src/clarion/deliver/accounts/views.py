"""How accounts stand as far as one process knows: what it learnt of them, and what has to be told to the others."""

from collections.abc import Iterable

from clarion.deliver.accounts.view import View
from clarion.deliver.rules import breaker as rules
from clarion.deliver.rules.verdict import NOTHING, verdict_of
from clarion.domain.content import Account
from clarion.domain.limits_breakers import STANDING_CLEAN_MS, THROTTLES_TO_PAUSE
from clarion.domain.limits_resilience import STANDING_CHECK_MS, STANDINGS_MAX
from clarion.domain.outcome import Accepted, Outcome
from clarion.domain.standing import Standing, StandingState, Tally


class Views:
    """The views of all accounts in use. Times are of the clock that never goes back. `due` are those with something to tell
    now, `calm` those whose calls went well for so long that it is to be told with others' soon."""

    def __init__(self) -> None:
        self._views: dict[tuple[str, str], View] = {}
        self._used: set[View] = set()
        self.due: set[View] = set()
        self.calm: set[View] = set()

    def use(self, accounts: Iterable[Account]) -> list[View]:
        """Note that accounts are in use; return those that were never looked up."""
        new = []
        for account in accounts:
            view = self.at(account)
            self._used.add(view)
            if view.is_new:
                new.append(view)
        return new

    def used(self) -> set[View]:
        """Take the views that were in use since this was asked last."""
        used, self._used = self._used, set()
        return used

    def at(self, account: Account) -> View:
        """Return the view of an account, a new one if need be."""
        key = (account.tenant, account.name)
        view = self._views.get(key)
        if view is None:
            self._make_room()
            view = self._views[key] = View(account)
        elif view.account.version != account.version:
            view.follow(account)
        return view

    def state(self, account: Account) -> StandingState:
        """Return how an account stands."""
        return self.standing(account).state

    def standing(self, account: Account) -> Standing:
        """Return the standing of an account; one that nobody used here is taken to be well."""
        view = self._views.get((account.tenant, account.name))
        if view is None or view.account.version != account.version:
            return Standing(version=account.version)
        return view.standing

    def pace_m(self, account: Account, now_ms: int) -> int:
        """Return how fast an account takes what waits for it, in thousandths of a message per second: now, or once it has
        recovered. 0 when nothing is known."""
        standing = self.standing(account)
        return standing.rate_m if standing.state in ("closed", "degraded") else rules.pace_m(standing, now_ms)

    def give_back(self, account: Account) -> None:
        """Note that what was granted last is not called after all: a probe is free for somebody else."""
        view = self._views.get((account.tenant, account.name))
        if view is not None and view.probe:
            view.release()
            self.due.add(view)

    def report(self, account: Account, outcome: Outcome, began_ms: int, now_ms: int) -> None:
        """Take what a call came to. What began before an account was down says nothing about it afterwards."""
        view = self._views.get((account.tenant, account.name))
        if view is None:
            view = self.at(account)
        elif view.account.version != account.version:
            return  # a call with settings of before
        self._used.add(view)
        standing = view.standing
        if type(outcome) is Accepted and standing.state == "closed":
            view.well += 1
            view.throttles = 0
            if now_ms - view.told_ms >= STANDING_CLEAN_MS:
                self.calm.add(view)
            return
        tally = verdict_of(outcome, now_ms)
        view.throttles = view.throttles + 1 if tally.paused_until_ms else 0
        if standing.state in ("closed", "degraded"):
            if not 0 < view.throttles < THROTTLES_TO_PAUSE:  # a few messages too many are no reason to hold the others
                self._count(view, tally, now_ms)
        elif standing.state == "recovering":
            if began_ms >= standing.changed_ms:
                self._count(view, tally, now_ms)
        elif view.probe and began_ms >= view.probe_ms:
            self._answer(view, tally)

    def _count(self, view: View, tally: Tally, now_ms: int) -> None:
        """Add to what is untold."""
        if tally is NOTHING:
            return
        longer = tally.paused_until_ms > view.standing.paused_until_ms + STANDING_CHECK_MS
        view.put(tally)
        if longer or tally.misconfigured is not None or view.is_due(now_ms):
            self.due.add(view)

    def _answer(self, view: View, tally: Tally) -> None:
        """Take what the probe came to."""
        if tally is NOTHING:
            view.release()
        else:
            probe, view.probe = view.probe, 0
            view.tally = Tally(tally.calls, tally.failures, tally.misconfigured, tally.paused_until_ms, probe)
        self.due.add(view)

    def _make_room(self) -> None:
        if len(self._views) >= STANDINGS_MAX:
            oldest = self._views.pop(next(iter(self._views)))
            self._used.discard(oldest)
            if oldest.untold() is not NOTHING:
                self.due.add(oldest)
