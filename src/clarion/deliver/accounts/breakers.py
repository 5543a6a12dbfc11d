"""Whether accounts may be called: what this process learnt of them and what the others told, at hardly any cost.

While an account works, everything is decided from what is known here, and calls are told to the others now and then.
Only an account that is down or recovering is asked about in the shared store, each time. When that store fails, what is
known here has to do: a breaker is a hint, and no reason to stop delivering.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from clarion.deliver.accounts.judges import Change, Grant
from clarion.deliver.accounts.view import View
from clarion.deliver.rules import breaker as rules
from clarion.deliver.rules.verdict import NOTHING, lasting, verdict_of
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_breakers import (
    STANDING_CHANGES_MAX,
    STANDING_CLEAN_MS,
    STANDING_LOG_MS,
    THROTTLES_TO_PAUSE,
)
from clarion.domain.limits_resilience import STANDING_CHECK_MS, STANDINGS_MAX
from clarion.domain.outcome import Accepted, Outcome
from clarion.domain.standing import Standing, StandingState, Tally
from clarion.ports.clock import Clock
from clarion.ports.standings import Standings
from clarion.ports.telemetry import Telemetry

_PAUSED: Final = "the provider asked for a pause"
_LEVELS: Final = {"open": "error", "degraded": "warning"}

_Step = Callable[[View, Standing], Standing]


class Breakers:
    """The breakers of all accounts, as one process has them. Used on one event loop."""

    def __init__(self, standings: Standings, clock: Clock, telemetry: Telemetry) -> None:
        self._standings = standings
        self._clock = clock
        self._telemetry = telemetry
        self._views: dict[tuple[str, str], View] = {}
        self._used: set[View] = set()
        self._refreshed_ms = self._logged_ms = -STANDING_LOG_MS
        self._changes: deque[Change] = deque(maxlen=STANDING_CHANGES_MAX)

    def refresh(self) -> None:
        """Tell what happened and take up what others learnt of the accounts in use; called once a batch."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._refreshed_ms < STANDING_CHECK_MS:
            return
        self._refreshed_ms = now_ms
        used, self._used = self._used, set()
        self._catch_up([view for view in used if view.is_stale(now_ms)], now_ms)

    def admit(self, account: Account, wanted: int) -> Grant:
        """Ask for calls. What is granted is to be made and reported, or given back."""
        now_ms = self._clock.monotonic_ms()
        view = self._of(account, now_ms)
        if now_ms - view.read_ms >= STANDING_CHECK_MS:
            self._catch_up([view], now_ms)
        standing = view.standing
        if standing.state in ("closed", "degraded") and now_ms >= standing.paused_until_ms:
            return Grant(wanted, 0, standing.state, "")
        until_ms, granted = max(standing.until_ms, standing.paused_until_ms), 0
        if standing.state == "recovering" or now_ms >= until_ms:
            granted, until_ms = self._ask(view, wanted, now_ms)
        elif standing.state == "half_open":
            _, _, until_ms = rules.admission(standing, account.rules.breaker, account.version, now_ms, wanted)
        detail = _PAUSED if now_ms < view.standing.paused_until_ms else view.standing.detail
        return Grant(granted, self._clock.now_ms() + until_ms - now_ms, view.standing.state, detail)

    def give_back(self, account: Account) -> None:
        """Note that what was granted last is not called after all: a probe is free for somebody else."""
        view = self._views.get((account.tenant, account.name))
        if view is not None and view.probe:
            self._unprobe(view, self._clock.monotonic_ms())

    def state(self, account: Account) -> StandingState:
        """Return how an account stands, as far as this process knows."""
        view = self._views.get((account.tenant, account.name))
        if view is None or view.account.version != account.version:
            view = self._of(account, self._clock.monotonic_ms())
        self._used.add(view)
        return view.standing.state

    def open_detail(self, account: Account) -> str:
        """Return why an account is open, half open, recovering or degraded; empty when it is none of it."""
        return self._of(account, self._clock.monotonic_ms()).standing.detail

    def pace_m(self, account: Account) -> int:
        """Return how fast an account takes what waits for it, in thousandths of a message per second: now, or once it has
        recovered. 0 when nothing is known."""
        now_ms = self._clock.monotonic_ms()
        standing = self._of(account, now_ms).standing
        return standing.rate_m if standing.state in ("closed", "degraded") else rules.pace_m(standing, now_ms)

    def report(self, account: Account, outcome: Outcome, began_ms: int | None = None) -> None:
        """Take what a call came to. `began_ms` is when it began (Unix ms): what began before an account was down says nothing
        about it afterwards."""
        view = self._views.get((account.tenant, account.name))
        now_ms = self._clock.monotonic_ms()
        if view is None:
            view = self._of(account, now_ms)
        elif view.account.version != account.version:
            return  # a call with settings of before
        self._used.add(view)
        if type(outcome) is Accepted and view.standing.state == "closed":
            view.well += 1
            view.throttles = 0
            if now_ms - view.told_ms >= STANDING_CLEAN_MS:
                self._tell([view], now_ms)
            return
        tally = verdict_of(outcome, now_ms)
        view.throttles = view.throttles + 1 if tally.paused_until_ms else 0
        if 0 < view.throttles < THROTTLES_TO_PAUSE and view.standing.state in ("closed", "degraded"):
            return  # a few messages too many are no reason to hold the others
        if view.standing.state in ("closed", "degraded"):
            self._count(view, tally, now_ms)
        elif view.standing.state != "open":
            self._answer(view, tally, self._began(began_ms, now_ms), now_ms)

    def changes(self) -> list[Change]:
        """Return changes of standings that this process brought about and that were not asked for yet. Each is told by one
        process alone, as long as the shared store works."""
        told = list(self._changes)
        self._changes.clear()
        return told

    def _of(self, account: Account, now_ms: int) -> View:
        key = (account.tenant, account.name)
        view = self._views.get(key)
        if view is None:
            self._make_room(now_ms)
            view = self._views[key] = View(account)
        elif view.account.version == account.version:
            return view
        view.account, view.tally, view.well, view.probe = account, NOTHING, 0, 0
        self._tell([view], now_ms)
        return view

    def _make_room(self, now_ms: int) -> None:
        if len(self._views) >= STANDINGS_MAX:
            oldest = self._views.pop(next(iter(self._views)))
            self._used.discard(oldest)
            if oldest.untold() is not NOTHING:
                self._tell([oldest], now_ms)

    def _count(self, view: View, tally: Tally, now_ms: int) -> None:
        """Add to what is untold, and tell it when it is time."""
        if tally is NOTHING:
            return
        longer = tally.paused_until_ms > view.standing.paused_until_ms + STANDING_CHECK_MS
        view.put(tally)
        if longer or tally.misconfigured is not None or view.is_due(now_ms):
            self._tell([view], now_ms)

    def _began(self, began_ms: int | None, now_ms: int) -> int:
        return now_ms if began_ms is None else now_ms - (self._clock.now_ms() - began_ms)

    def _answer(self, view: View, tally: Tally, began_ms: int, now_ms: int) -> None:
        """Take what a call came to while an account is half open or recovering."""
        if view.standing.state == "recovering":
            if began_ms >= view.standing.changed_ms:
                self._count(view, tally, now_ms)
        elif view.probe and began_ms >= view.probe_ms:
            if tally is NOTHING:
                self._unprobe(view, now_ms)
                return
            view.tally = Tally(tally.calls, tally.failures, tally.misconfigured, tally.paused_until_ms, view.probe)
            view.probe = 0
            self._tell([view], now_ms)

    def _unprobe(self, view: View, now_ms: int) -> None:
        probe, view.probe = view.probe, 0
        self._step([view], now_ms, lambda view, old: rules.unprobed(old, view.account.version, now_ms, probe))

    def _ask(self, view: View, wanted: int, now_ms: int) -> tuple[int, int]:
        """Ask in the shared store; return what is granted, and when the others may ask again."""
        granted, until_ms = 0, now_ms

        def step(view: View, old: Standing) -> Standing:
            nonlocal granted, until_ms
            account = view.account
            settings = account.rules.breaker
            seen = rules.observe(old, settings, account.version, now_ms, view.untold())
            new, granted, until_ms = rules.admission(seen, settings, account.version, now_ms, wanted)
            return new

        self._step([view], now_ms, step)
        if granted and view.standing.state == "half_open":
            view.probe, view.probe_ms = view.standing.until_ms, now_ms
        return granted, until_ms

    def _tell(self, views: Sequence[View], now_ms: int) -> None:
        def step(view: View, old: Standing) -> Standing:
            account = view.account
            aged = rules.aged(old, account.rules.breaker, account.version, now_ms)
            tally = view.untold()
            if tally is NOTHING:
                return aged
            return rules.observe(aged, account.rules.breaker, account.version, now_ms, tally)

        self._step(views, now_ms, step)

    def _catch_up(self, views: Sequence[View], now_ms: int) -> None:
        """Tell what is due, and read how the others stand that were not looked at for long."""
        untold = [view for view in views if view.is_due(now_ms)]
        if untold:
            self._tell(untold, now_ms)
        self._look([view for view in views if now_ms - view.read_ms >= STANDING_CHECK_MS], now_ms)

    def _look(self, views: Sequence[View], now_ms: int) -> None:
        """Read how accounts stand now; where time alone has changed that, say so."""
        if not views:
            return
        try:
            found = self._standings.read([view.name for view in views])
        except (Overloaded, DurabilityError) as error:
            self._complain(error, now_ms)
            found = [view.standing for view in views]
        late: list[View] = []
        for view, standing in zip(views, found, strict=True):
            account = view.account
            view.standing, view.read_ms = rules.current(standing, account.version, now_ms), now_ms
            if rules.aged(view.standing, account.rules.breaker, account.version, now_ms) is not view.standing:
                late.append(view)
        if late:
            self._tell(late, now_ms)

    def _step(self, views: Sequence[View], now_ms: int, step: _Step) -> None:
        """Change standings for all workers, or for this one alone when that fails. What is told is told once, but what
        opens, pauses or frees an account is told until it is stored."""
        new: list[Standing] = []

        def decide(old: list[Standing]) -> tuple[list[Standing], list[Standing]]:
            new[:] = [step(view, standing) for view, standing in zip(views, old, strict=True)]
            return new, old

        stored = True
        try:
            before = self._standings.change([view.name for view in views], decide)
        except (Overloaded, DurabilityError) as error:
            stored = False
            self._complain(error, now_ms)
            _, before = decide([view.standing for view in views])
        for view, old, standing in zip(views, before, new, strict=True):
            view.standing, view.read_ms, view.told_ms = standing, now_ms, now_ms
            if stored or not lasting(view.tally):
                view.tally = NOTHING
            if old.state != standing.state:
                self._changed(view.account, old.state, standing)

    def _changed(self, account: Account, before: StandingState, standing: Standing) -> None:
        state, detail = standing.state, standing.detail
        self._changes.append(Change(account, before, state, detail, self._clock.now_ms()))
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

    def _complain(self, error: Exception, now_ms: int) -> None:
        if now_ms - self._logged_ms >= STANDING_LOG_MS:
            self._logged_ms = now_ms
            self._telemetry.log("warning", "standings_unshared", error=str(error))
