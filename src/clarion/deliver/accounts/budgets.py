"""The retry budgets of all accounts, per process.

They are not shared: a budget is a share of the fresh attempts of a process, so all of them together are the same share
of all fresh attempts.
"""

from clarion.deliver.rules.budget import Budget, count_attempts, return_retries, take_retry
from clarion.domain.content import Account
from clarion.domain.limits_delivery import ACCOUNT_HEALTH_MAX, RETRY_BUDGET_UNREPORTED_MAX


class Budgets:
    """The retries left per account. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._unreported: dict[tuple[str, str], int] = {}

    def add_attempts(self, account: Account, attempts: int, now_ms: int) -> None:
        """Count first attempts: each adds a share of a retry."""
        key = (account.tenant, account.name)
        unreported = self._unreported.get(key, 0) + attempts
        self._unreported[key] = unreported
        if unreported >= RETRY_BUDGET_UNREPORTED_MAX:
            self._put(key, now_ms)
        elif len(self._unreported) > ACCOUNT_HEALTH_MAX:
            self._put(next(iter(self._unreported)), now_ms)

    def take_retry(self, account: Account, now_ms: int) -> bool:
        """Take a retry; return whether one was left."""
        key = (account.tenant, account.name)
        if key in self._unreported:
            self._put(key, now_ms)
        self._budgets[key], taken = take_retry(self._of(key, now_ms), now_ms)
        return taken

    def give_back(self, account: Account, retries: int, now_ms: int) -> None:
        """Return retries that are not made after all."""
        key = (account.tenant, account.name)
        self._budgets[key] = return_retries(self._of(key, now_ms), now_ms, retries)

    def _put(self, key: tuple[str, str], now_ms: int) -> None:
        self._budgets[key] = count_attempts(self._of(key, now_ms), now_ms, self._unreported.pop(key))

    def _of(self, key: tuple[str, str], now_ms: int) -> Budget:
        budget = self._budgets.get(key)
        if budget is None:
            if len(self._budgets) >= ACCOUNT_HEALTH_MAX:
                del self._budgets[next(iter(self._budgets))]
            budget = Budget(at_ms=now_ms)
        return budget
