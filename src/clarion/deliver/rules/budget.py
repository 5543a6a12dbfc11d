"""How many retries an account may be made beside its fresh attempts, so that an outage is not amplified.

A bucket of retries: each fresh attempt adds a share of one, each second one, each retry takes one. However the calls come,
retries are never more than that share of the fresh attempts, one a second, and what the bucket held at first. It holds
what the fresh attempts of the last moments brought, and not less than at first.
"""

from typing import Final, NamedTuple

from clarion.domain.limits_breakers import RETRY_BUDGET_MEMORY_MS
from clarion.domain.limits_resilience import RETRY_BUDGET_MIN, RETRY_BUDGET_SHARE

_RETRY_M: Final = 1_000
_SHARE_M: Final = int(RETRY_BUDGET_SHARE * _RETRY_M)
_MIN_M: Final = RETRY_BUDGET_MIN * _RETRY_M


class Budget(NamedTuple):
    """What is left at `at_ms`, in thousandths of a retry. `slot` counts spans of `RETRY_BUDGET_MEMORY_MS`, `fresh` and
    `fresh_before` are the fresh attempts of that one and of the one before it."""

    left_m: int = _MIN_M
    at_ms: int = 0
    slot: int = 0
    fresh: int = 0
    fresh_before: int = 0


def settled(budget: Budget, now_ms: int) -> Budget:
    """Return the budget as it stands at `now_ms`: a second brings a retry, and what is more than it may hold is gone."""
    left_m, at_ms, slot, fresh, before = budget
    now_slot = max(now_ms // RETRY_BUDGET_MEMORY_MS, slot)
    if now_slot != slot:
        fresh, before = 0, fresh if now_slot == slot + 1 else 0
    capacity_m = max(_MIN_M, _SHARE_M * (fresh + before))
    left_m = min(left_m + max(now_ms - at_ms, 0), capacity_m)
    return Budget(left_m, max(now_ms, at_ms), now_slot, fresh, before)


def attempted(budget: Budget, now_ms: int, attempts: int) -> Budget:
    """Return the budget after fresh attempts."""
    left_m, at_ms, slot, fresh, before = settled(budget, now_ms)
    fresh += attempts
    capacity_m = max(_MIN_M, _SHARE_M * (fresh + before))
    return Budget(min(left_m + _SHARE_M * attempts, capacity_m), at_ms, slot, fresh, before)


def retried(budget: Budget, now_ms: int) -> tuple[Budget, bool]:
    """Return the budget after a retry was asked for, and whether it may be made."""
    budget = settled(budget, now_ms)
    if budget.left_m < _RETRY_M:
        return budget, False
    return budget._replace(left_m=budget.left_m - _RETRY_M), True


def returned(budget: Budget, now_ms: int, retries: int) -> Budget:
    """Return the budget after retries that were taken were not made."""
    budget = settled(budget, now_ms)
    capacity_m = max(_MIN_M, _SHARE_M * (budget.fresh + budget.fresh_before))
    return budget._replace(left_m=min(budget.left_m + retries * _RETRY_M, capacity_m))
