"""Retries are a share of fresh attempts, for each account by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.rules.budget import Budget, count_attempts, refill, return_retries, take_retry
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_delivery import ACCOUNT_HEALTH_MAX, RETRY_BUDGET_MIN, RETRY_BUDGET_SHARE

STEPS = st.lists(
    st.tuples(st.integers(0, 20_000), st.one_of(st.integers(1, 500), st.just(None))), min_size=1, max_size=80
)


def account(name="mail", tenant="acme"):
    return Account(tenant, name, Channel.EMAIL, "smtp", 0, {}, {})


def spend(budget, now_ms):
    taken = 0
    while True:
        budget, granted = take_retry(budget, now_ms)
        if not granted:
            return budget, taken
        taken += 1


@given(STEPS)
def test_retries_are_never_more_than_their_share(steps):
    budget, now_ms, fresh, retries = Budget(), 0, 0, 0
    for passed_ms, attempts in steps:
        now_ms += passed_ms
        if attempts is None:
            budget, taken = spend(budget, now_ms)
            retries += taken
        else:
            budget = count_attempts(budget, now_ms, attempts)
            fresh += attempts
        assert retries <= RETRY_BUDGET_MIN + RETRY_BUDGET_SHARE * fresh + now_ms / 1_000
        assert budget.left_m >= 0


@given(STEPS, st.integers(0, 60_000))
def test_time_removes_at_most_the_savings_above_the_minimum(steps, later_ms):
    budget, now_ms = Budget(), 0
    for passed_ms, attempts in steps:
        now_ms += passed_ms
        budget = count_attempts(budget, now_ms, attempts or 1)
    after = refill(budget, now_ms + later_ms)
    assert after.left_m >= min(budget.left_m, RETRY_BUDGET_MIN * 1_000)


def test_an_account_starts_with_some_and_gets_one_a_second():
    budget, taken = spend(Budget(), 0)
    assert taken == RETRY_BUDGET_MIN
    budget, taken = spend(budget, 3_500)
    assert taken == 3
    _, taken = spend(budget, 3_600_000)
    assert taken == RETRY_BUDGET_MIN


def test_a_busy_account_keeps_its_recent_budget():
    budget = Budget()
    for now_ms in range(0, 60_000, 100):
        budget = count_attempts(budget, now_ms, 100)
    _, at_once = spend(budget, 60_000)
    assert 0.2 * 1_000 * 10 <= at_once <= 0.2 * 1_000 * 20 + RETRY_BUDGET_MIN
    _, later = spend(budget, 120_000)
    assert later == RETRY_BUDGET_MIN


@pytest.mark.parametrize("failing", [0.2, 1.0])
def test_an_outage_is_not_amplified(failing):
    budget, fresh, retries, asked = Budget(), 0, 0, 0
    for second in range(600):
        budget = count_attempts(budget, second * 1_000, 50)
        fresh += 50
        asked += int(50 * failing)
        while asked:
            budget, granted = take_retry(budget, second * 1_000)
            if not granted:
                break
            asked -= 1
            retries += 1
    assert (fresh + retries) / fresh <= 1.2 + 0.03
    assert retries >= 0.19 * fresh


def test_accounts_are_separate_by_tenant_and_by_name():
    budgets = Budgets()
    while budgets.take_retry(account(), 1_000):
        pass
    assert not budgets.take_retry(account(), 1_000)
    assert budgets.take_retry(account("texts"), 1_000)
    assert budgets.take_retry(account(tenant="other"), 1_000)
    budgets.add_attempts(account(), 10, 1_000)
    assert [budgets.take_retry(account(), 1_000) for _ in range(3)] == [True, True, False]


def test_a_retry_comes_back_with_time():
    budgets = Budgets()
    while budgets.take_retry(account(), 1_000):
        pass
    assert [budgets.take_retry(account(), 2_000) for _ in range(2)] == [True, False]


def test_memory_is_bounded():
    budgets = Budgets()
    for number in range(ACCOUNT_HEALTH_MAX + 5):
        budgets.add_attempts(account(f"mail{number}"), 1, 1_000)
        budgets.take_retry(account(f"texts{number}"), 1_000)
    assert len(budgets._budgets) == len(budgets._unreported) == ACCOUNT_HEALTH_MAX


@given(st.lists(st.integers(0, 30), max_size=20))
def test_a_returned_retry_was_never_spent(batches):
    """A paused account makes the same retries ask repeatedly: that costs no budget."""
    budget, now_ms = Budget(), 0
    for asked in batches:
        taken = 0
        for _ in range(asked):
            budget, granted = take_retry(budget, now_ms)
            taken += granted
        budget = return_retries(budget, now_ms, taken)
        assert budget.left_m == RETRY_BUDGET_MIN * 1_000
