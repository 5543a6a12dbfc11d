"""What one process knows of an account, and what it has not told the others yet."""

from clarion.deliver.rules.verdict import NOTHING, lasting, summed
from clarion.domain.content import Account
from clarion.domain.limits_breakers import STANDING_CLEAN_MS, STANDING_FAILURES_UNTOLD_MAX
from clarion.domain.limits_resilience import STANDING_CHECK_MS
from clarion.domain.standing import Standing, Tally
from clarion.ports.standings import AccountName


class View:
    """An account as this process sees it. `tally` is untold, `well` are calls that went well and are not in it; `probe` is
    the one that this process has out, `throttles` how many calls in a row were asked to slow down."""

    __slots__ = ("account", "name", "probe", "probe_ms", "read_ms", "standing", "tally", "throttles", "told_ms", "well")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.name = AccountName(account.tenant, account.name)
        self.standing = Standing(version=account.version)
        self.tally = NOTHING
        self.read_ms = self.told_ms = self.probe = self.probe_ms = self.well = self.throttles = 0

    def put(self, tally: Tally) -> None:
        """Add to what is untold."""
        self.tally = tally if self.tally is NOTHING else summed(self.tally, tally)

    def untold(self) -> Tally:
        """Return all that is untold."""
        if self.well:
            calls, self.well = self.well, 0
            self.put(Tally(calls))
        return self.tally

    def is_stale(self, now_ms: int) -> bool:
        """Return whether the others were not listened to, or not told, for long."""
        return now_ms - min(self.read_ms, self.told_ms) >= STANDING_CHECK_MS

    def is_due(self, now_ms: int) -> bool:
        """Return whether what is untold has waited long enough."""
        tally = self.untold()
        if tally is NOTHING:
            return False
        if tally.failures >= STANDING_FAILURES_UNTOLD_MAX:
            return True
        hurried = tally.failures > 0 or lasting(tally)
        return now_ms - self.told_ms >= (STANDING_CHECK_MS if hurried else STANDING_CLEAN_MS)
