"""Whether accounts may be called: what this process learnt of them and what the others told, at hardly any cost.

While an account works, everything is decided from what is known here, and calls are told to the others now and then.
Only an account that is down or recovering is asked about in the shared store, each time. When that store fails, what is
known here has to do: a breaker is a hint, and no reason to stop delivering.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from clarion.deliver.accounts.judges import Change, Grant
from clarion.deliver.accounts.view import Untold, View
from clarion.deliver.accounts.views import Views
from clarion.deliver.rules import breaker as rules
from clarion.deliver.rules.verdict import lasting
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_breakers import STANDING_CHANGES_MAX, STANDING_EARLY_MS, STANDING_LOG_MS, STANDING_USED_MS
from clarion.domain.limits_resilience import STANDING_CHECK_MS
from clarion.domain.outcome import Outcome
from clarion.domain.standing import Standing, StandingState
from clarion.ports.clock import Clock
from clarion.ports.standings import Standings
from clarion.ports.telemetry import Telemetry
from clarion.ports.versioned import SWAP_TRIES_MAX, Settled, Versioned, settle_each

_LEVELS: Final = {"open": "error", "degraded": "warning"}

A = TypeVar("A")
_Rule = Callable[[View, Standing, Untold], tuple[Standing, A]]


class _Asked(NamedTuple):
    granted: int
    until_ms: int


class Breakers:
    """The breakers of all accounts, as one process has them. Used on one event loop."""

    def __init__(self, standings: Standings, clock: Clock, telemetry: Telemetry) -> None:
        self._standings = standings
        self._clock = clock
        self._telemetry = telemetry
        self._views = Views()
        self._recent: dict[View, int] = {}
        """Accounts that are in use, and when that was seen last."""
        self._refreshed_ms = self._logged_ms = -STANDING_LOG_MS
        self._changes: deque[Change] = deque(maxlen=STANDING_CHANGES_MAX)
        self._noted: set[asyncio.Event] = set()

    async def refresh(self, accounts: Sequence[Account] = ()) -> None:
        """Look up accounts that are used for the first time, tell what happened, and take up what others learnt of those in
        use; called once a batch."""
        now_ms = self._clock.monotonic_ms()
        new = self._views.use(accounts)
        if new:
            await self._meet(new, now_ms)
        if now_ms - self._refreshed_ms < STANDING_CHECK_MS:
            return
        used = self._used(now_ms)
        self._views.use(accounts)  # they go on being used, so the next refresh looks at them, too
        await self._catch_up([view for view in used if view.is_stale(now_ms)], now_ms)

    async def refresh_early(self) -> None:
        """Do as `refresh` does before it is due, and also for accounts that were in use until a moment ago, so that no batch has
        to wait for it. Called again and again beside the work; mostly it does nothing."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._refreshed_ms < STANDING_EARLY_MS:
            return
        last_ms = now_ms - STANDING_USED_MS
        self._recent |= dict.fromkeys(self._used(now_ms), now_ms)
        self._recent = {view: used_ms for view, used_ms in self._recent.items() if used_ms > last_ms}
        self._views.calm.update(view for view in self._recent if not view.is_new and view.is_due(now_ms))
        await self.flush()
        early_ms = now_ms - STANDING_EARLY_MS // 2
        await self._look([view for view in self._recent if not view.is_new and view.read_ms < early_ms], now_ms)

    def _used(self, now_ms: int) -> set[View]:
        self._refreshed_ms = now_ms
        return self._views.used()

    async def admit(self, account: Account, wanted: int) -> Grant:
        """Ask for calls of one account."""
        (grant,) = await self.admit_each([(account, wanted)])
        return grant

    async def admit_each(self, asked: Sequence[tuple[Account, int]]) -> list[Grant]:
        """Ask for calls of several accounts. What is granted is to be made and reported, or given back."""
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        views = [self._views.at(account) for account, _ in asked]
        if new := [view for view in views if view.is_new]:
            await self._meet(new, now_ms)
        if old := [view for view in views if view.is_old(now_ms)]:
            await self._catch_up(old, now_ms)
        grants = [view.grant(wanted, now_ms, wall_ms) for view, (_, wanted) in zip(views, asked, strict=True)]
        if shared := [index for index, grant in enumerate(grants) if grant is None]:
            answers = await self._ask([views[index] for index in shared], [asked[index][1] for index in shared], now_ms)
            for index, (granted, until_ms) in zip(shared, answers, strict=True):
                grants[index] = views[index].verdict(granted, until_ms, now_ms, wall_ms)
        return [grant for grant in grants if grant is not None]

    @property
    def is_due(self) -> bool:
        """Whether something is to be told by `flush`: now if it `is_urgent`, else now and then."""
        return bool(self._views.due or self._views.calm)

    @property
    def is_urgent(self) -> bool:
        """Whether something may not wait."""
        return bool(self._views.due)

    async def flush(self) -> None:
        """Tell the others what is due, all accounts together."""
        due: dict[tuple[str, str], View] = {}
        for views in (self._views.due, self._views.calm):
            for view in list(views):
                if due.setdefault(view.name, view) is view:
                    views.discard(view)
        if due:
            await self._tell(list(due.values()), self._clock.monotonic_ms())

    def give_back(self, account: Account) -> None:
        """Note that what was granted last is not called after all: once it is told, a probe is free for somebody else."""
        self._views.give_back(account)

    def state(self, account: Account) -> StandingState:
        """Return how an account stands, as far as this process knows."""
        return self._views.state(account)

    def open_detail(self, account: Account) -> str:
        """Return why an account is open, half open, recovering or degraded; empty when it is none of it."""
        return self._views.standing(account).detail

    def pace_m(self, account: Account) -> int:
        """Return how fast an account takes what waits for it, in thousandths of a message per second: now, or once it has
        recovered. 0 when nothing is known."""
        return self._views.pace_m(account, self._clock.monotonic_ms())

    def report(self, account: Account, outcome: Outcome, began_ms: int | None = None) -> None:
        """Take what a call came to. `began_ms` is when it began (Unix ms): what began before an account was down says nothing
        about it afterwards."""
        now_ms = self._clock.monotonic_ms()
        began = now_ms if began_ms is None else now_ms - (self._clock.now_ms() - began_ms)
        self._views.report(account, outcome, began, now_ms)

    @contextmanager
    def noting(self, changed: asyncio.Event) -> Iterator[None]:
        """Set an event whenever `changes` has something to return."""
        self._noted.add(changed)
        try:
            yield
        finally:
            self._noted.discard(changed)

    def has_changes(self) -> bool:
        """Return whether `changes` returns any."""
        return bool(self._changes)

    def changes(self) -> list[Change]:
        """Return changes of standings that this process brought about and that were not asked for yet. Each is told by one
        process alone, as long as the shared store works."""
        told = list(self._changes)
        self._changes.clear()
        return told

    async def _ask(self, views: Sequence[View], wanted: Sequence[int], now_ms: int) -> list[_Asked]:
        """Ask in the shared store; return what is granted, and when the others may ask again."""
        number = dict(zip(views, wanted, strict=True))

        def rule(view: View, old: Standing, untold: Untold) -> tuple[Standing, tuple[Standing, _Asked]]:
            account = view.account
            settings, version = account.rules.breaker, account.version
            if untold.given_back:
                old = rules.unprobed(old, version, now_ms, untold.given_back)
            seen = rules.observe(old, settings, version, now_ms, untold.tally)
            new, granted, until_ms = rules.admission(seen, settings, version, now_ms, number[view])
            return new, (new, _Asked(granted, until_ms))

        answers = await self._step(views, now_ms, rule)
        for view, (standing, asked) in zip(views, answers, strict=True):
            if asked.granted and standing.state == "half_open":
                view.probe, view.probe_ms = standing.until_ms, now_ms
        return [asked for _, asked in answers]

    async def _tell(self, views: Sequence[View], now_ms: int) -> None:
        def rule(view: View, old: Standing, untold: Untold) -> tuple[Standing, None]:
            account = view.account
            return rules.told(old, account.rules.breaker, account.version, now_ms, *untold), None

        await self._step(views, now_ms, rule)

    async def _catch_up(self, views: Sequence[View], now_ms: int) -> None:
        """Tell what is due, and read how the others stand that were not looked at for long."""
        untold = [view for view in views if view.is_due(now_ms)]
        if untold:
            await self._tell(untold, now_ms)
        await self._look([view for view in views if view.is_old(now_ms)], now_ms)

    async def _meet(self, views: Sequence[View], now_ms: int) -> None:
        """Read how accounts stand that are used for the first time. There is nothing to tell of them yet, but that they begin
        anew with another version."""
        await self._look(views, now_ms)
        changed = []
        for view in views:
            view.is_new, view.told_ms = False, now_ms
            stored = view.stored
            if stored is not None and stored.version and stored.value.version != view.account.version:
                changed.append(view)
        if changed:
            await self._tell(changed, now_ms)

    async def _look(self, views: Sequence[View], now_ms: int) -> None:
        """Read how accounts stand now; where time alone has changed that, say so."""
        if not views:
            return
        known = [view.stored for view in views]
        try:
            found = await self._standings.read([view.name for view in views])
        except (Overloaded, DurabilityError) as error:
            self._complain(error, now_ms)
            found = [Versioned(view.standing, 0) for view in views]
        late: list[View] = []
        for view, before, stored in zip(views, known, found, strict=True):
            account = view.account
            if view.stored is not before:
                continue  # what was learnt while this was read is newer
            view.standing = rules.current(stored.value, account.version, now_ms)
            view.stored, view.read_ms = stored, now_ms
            if rules.aged(view.standing, account.rules.breaker, account.version, now_ms) is not view.standing:
                late.append(view)
        if late:
            await self._tell(late, now_ms)

    async def _step(self, views: Sequence[View], now_ms: int, rule: _Rule[A]) -> list[A]:
        """Change standings for all workers, or for this one alone when that fails. What is told is told once, but what
        opens, pauses or frees an account is told until it is stored."""
        untold = [view.take() for view in views]
        accounts = [view.account for view in views]
        known = [None if view.stored is None else [view.stored] for view in views]

        def decide(index: int, values: list[Standing]) -> tuple[list[Standing], tuple[Standing, Standing, A]]:
            (old,) = values
            new, answer = rule(views[index], old, untold[index])
            return [new], (old, new, answer)

        settled: Sequence[Settled[Standing, tuple[Standing, Standing, A]] | None] = [None] * len(views)
        try:
            settled = await settle_each(self._standings, [[view.name] for view in views], decide, self._clock, known)
            if None in settled:
                self._complain(Overloaded(f"others were quicker {SWAP_TRIES_MAX} times"), now_ms)
        except (Overloaded, DurabilityError) as error:
            self._complain(error, now_ms)
        answers = []
        for index, (view, one) in enumerate(zip(views, settled, strict=True)):
            old, new, answer = decide(index, [view.standing])[1] if one is None else one.answer
            if view.account is accounts[index]:  # nobody changed it meanwhile
                view.learn(new, None if one is None else one.now[0], now_ms)
            if one is None and lasting(untold[index].tally):
                view.put(untold[index].tally)
            if old.state != new.state:
                self._changed(view.account, old.state, new)
            answers.append(answer)
        return answers

    def _changed(self, account: Account, before: StandingState, standing: Standing) -> None:
        state, detail = standing.state, standing.detail
        self._changes.append(Change(account, before, state, detail, self._clock.now_ms()))
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

    def _complain(self, error: Exception, now_ms: int) -> None:
        if now_ms - self._logged_ms >= STANDING_LOG_MS:
            self._logged_ms = now_ms
            self._telemetry.log("warning", "standings_unshared", error=str(error))
