"""How many retries an account may make in addition to its fresh attempts, so that an outage is not amplified.

A bucket of retries: each fresh attempt adds a share of one, each second one, each retry takes one. In any order of
calls, retries are never more than that share of the fresh attempts, one a second, and the bucket's initial content. Its
capacity is what the fresh attempts of the last moments added, and at least the initial content.
"""

from typing import Final, NamedTuple

from clarion.domain.limits_delivery import RETRY_BUDGET_MEMORY_MS, RETRY_BUDGET_MIN, RETRY_BUDGET_SHARE

_RETRY_M: Final = 1_000
_SHARE_M: Final = int(RETRY_BUDGET_SHARE * _RETRY_M)
_MIN_M: Final = RETRY_BUDGET_MIN * _RETRY_M


class Budget(NamedTuple):
    """The retries left at `at_ms`, in thousandths of a retry. `slot` counts spans of `RETRY_BUDGET_MEMORY_MS`, `fresh`
    and `fresh_before` are the fresh attempts of that span and of the one before it."""

    left_m: int = _MIN_M
    at_ms: int = 0
    slot: int = 0
    fresh: int = 0
    fresh_before: int = 0


def refill(budget: Budget, now_ms: int) -> Budget:
    """Return the budget at `now_ms`: each second adds a retry, and anything above the capacity is dropped."""
    left_m, at_ms, slot, fresh, before = budget
    now_slot = max(now_ms // RETRY_BUDGET_MEMORY_MS, slot)
    if now_slot != slot:
        fresh, before = 0, fresh if now_slot == slot + 1 else 0
    capacity_m = max(_MIN_M, _SHARE_M * (fresh + before))
    left_m = min(left_m + max(now_ms - at_ms, 0), capacity_m)
    return Budget(left_m, max(now_ms, at_ms), now_slot, fresh, before)


def count_attempts(budget: Budget, now_ms: int, attempts: int) -> Budget:
    """Return the budget after fresh attempts."""
    left_m, at_ms, slot, fresh, before = refill(budget, now_ms)
    fresh += attempts
    capacity_m = max(_MIN_M, _SHARE_M * (fresh + before))
    return Budget(min(left_m + _SHARE_M * attempts, capacity_m), at_ms, slot, fresh, before)


def take_retry(budget: Budget, now_ms: int) -> tuple[Budget, bool]:
    """Return the budget after a request for a retry, and whether the retry may be made."""
    budget = refill(budget, now_ms)
    if budget.left_m < _RETRY_M:
        return budget, False
    return budget._replace(left_m=budget.left_m - _RETRY_M), True


def return_retries(budget: Budget, now_ms: int, retries: int) -> Budget:
    """Return the budget after granted retries were not made."""
    budget = refill(budget, now_ms)
    capacity_m = max(_MIN_M, _SHARE_M * (budget.fresh + budget.fresh_before))
    return budget._replace(left_m=min(budget.left_m + retries * _RETRY_M, capacity_m))
