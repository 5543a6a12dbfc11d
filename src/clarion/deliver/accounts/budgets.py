"""The budgets for retries of all accounts, as one process has them.

They are not shared: a budget is a share of what a process sends afresh, so all of them together are the same share of all.
"""

from clarion.deliver.rules.budget import Budget, attempted, retried, returned
from clarion.domain.content import Account
from clarion.domain.limits_breakers import RETRY_BUDGET_UNTOLD_MAX
from clarion.domain.limits_resilience import STANDINGS_MAX


class Budgets:
    """Retries that accounts have left. Times are of the clock that never goes back."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._untold: dict[tuple[str, str], int] = {}

    def fresh(self, account: Account, attempts: int, now_ms: int) -> None:
        """Note first attempts: they bring a share of a retry each."""
        key = (account.tenant, account.name)
        untold = self._untold.get(key, 0) + attempts
        self._untold[key] = untold
        if untold >= RETRY_BUDGET_UNTOLD_MAX:
            self._put(key, now_ms)
        elif len(self._untold) > STANDINGS_MAX:
            self._put(next(iter(self._untold)), now_ms)

    def retry(self, account: Account, now_ms: int) -> bool:
        """Take a retry; return whether there was one left."""
        key = (account.tenant, account.name)
        if key in self._untold:
            self._put(key, now_ms)
        self._budgets[key], taken = retried(self._of(key, now_ms), now_ms)
        return taken

    def give_back(self, account: Account, retries: int, now_ms: int) -> None:
        """Give back retries that are not made after all."""
        key = (account.tenant, account.name)
        self._budgets[key] = returned(self._of(key, now_ms), now_ms, retries)

    def _put(self, key: tuple[str, str], now_ms: int) -> None:
        self._budgets[key] = attempted(self._of(key, now_ms), now_ms, self._untold.pop(key))

    def _of(self, key: tuple[str, str], now_ms: int) -> Budget:
        budget = self._budgets.get(key)
        if budget is None:
            if len(self._budgets) >= STANDINGS_MAX:
                del self._budgets[next(iter(self._budgets))]
            budget = Budget(at_ms=now_ms)
        return budget
