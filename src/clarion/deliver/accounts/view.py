"""What one process knows of an account, and what it has not told the others yet."""

from typing import Final, NamedTuple

from clarion.deliver.accounts.judges import Grant
from clarion.deliver.rules import breaker as rules
from clarion.deliver.rules.verdict import NOTHING, lasting, summed
from clarion.domain.content import Account
from clarion.domain.limits_breakers import STANDING_CLEAN_MS, STANDING_FAILURES_UNTOLD_MAX
from clarion.domain.limits_resilience import STANDING_CHECK_MS
from clarion.domain.standing import Standing, Tally
from clarion.ports.standings import AccountName
from clarion.ports.versioned import Versioned

PAUSED: Final = "the provider asked for a pause"


class Untold(NamedTuple):
    """What a process has to tell of an account at once: calls, and the probe it was given and did not make."""

    tally: Tally
    given_back: int


class View:
    """An account as this process sees it. `tally` is untold, `well` are calls that went well and are not in it; `probe` is
    the one that this process has out, `given_back` one that it did not make, `throttles` how many calls in a row were asked
    to slow down. `is_new` is one that was never looked up; `stored` is what was in the store when it was asked last."""

    __slots__ = ("account", "given_back", "is_new", "name", "probe", "probe_ms", "read_ms", "standing", "stored", "tally",
                 "throttles", "told_ms", "well")  # fmt: skip

    def __init__(self, account: Account) -> None:
        self.name = AccountName(account.tenant, account.name)
        self.told_ms = self.throttles = self.probe_ms = 0
        self.follow(account)

    def follow(self, account: Account) -> None:
        """Begin anew with an account, or with another version of it."""
        self.account = account
        self.standing = Standing(version=account.version)
        self.tally = NOTHING
        self.well = self.probe = self.given_back = self.read_ms = 0
        self.is_new = True
        self.stored: Versioned[Standing] | None = None

    def put(self, tally: Tally) -> None:
        """Add to what is untold."""
        self.tally = tally if self.tally is NOTHING else summed(self.tally, tally)

    def untold(self) -> Tally:
        """Return all calls that are untold."""
        if self.well:
            calls, self.well = self.well, 0
            self.put(Tally(calls))
        return self.tally

    def take(self) -> Untold:
        """Take all that is untold, so that it is told once."""
        told = Untold(self.untold(), self.given_back)
        self.tally, self.given_back = NOTHING, 0
        return told

    def learn(self, standing: Standing, stored: Versioned[Standing] | None, now_ms: int) -> None:
        """Take how the account stands after it was told of; `stored` is None where that failed."""
        self.standing, self.stored, self.is_new = standing, stored, False
        self.read_ms = self.told_ms = now_ms

    def release(self) -> None:
        """Let somebody else have the probe that this process has out."""
        self.given_back, self.probe = self.probe, 0

    def is_stale(self, now_ms: int) -> bool:
        """Return whether the others were not listened to, or not told, for long."""
        return now_ms - min(self.read_ms, self.told_ms) >= STANDING_CHECK_MS

    def is_old(self, now_ms: int) -> bool:
        """Return whether the others were not listened to for long."""
        return now_ms - self.read_ms >= STANDING_CHECK_MS

    def is_due(self, now_ms: int) -> bool:
        """Return whether what is untold has waited long enough."""
        tally = self.untold()
        if tally is NOTHING:
            return False
        if tally.failures >= STANDING_FAILURES_UNTOLD_MAX:
            return True
        hurried = tally.failures > 0 or lasting(tally)
        return now_ms - self.told_ms >= (STANDING_CHECK_MS if hurried else STANDING_CLEAN_MS)

    def grant(self, wanted: int, now_ms: int, wall_ms: int) -> Grant | None:
        """Return what is granted as far as this process knows; None where only the shared standing can tell."""
        standing = self.standing
        if standing.state in ("closed", "degraded") and now_ms >= standing.paused_until_ms:
            return Grant(wanted, 0, standing.state, "")
        until_ms = max(standing.until_ms, standing.paused_until_ms)
        if standing.state == "recovering" or now_ms >= until_ms:
            return None
        if standing.state == "half_open":
            rule, version = self.account.rules.breaker, self.account.version
            _, _, until_ms = rules.admission(standing, rule, version, now_ms, wanted)
        return self.verdict(0, until_ms, now_ms, wall_ms)

    def verdict(self, granted: int, until_ms: int, now_ms: int, wall_ms: int) -> Grant:
        """Return what is granted in the words of a grant."""
        standing = self.standing
        detail = PAUSED if now_ms < standing.paused_until_ms else standing.detail
        return Grant(granted, wall_ms + until_ms - now_ms, standing.state, detail)
