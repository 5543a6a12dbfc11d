"""The accounts whose health a worker caches."""

import pytest

from clarion.deliver.accounts.local_health import LocalHealths
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.outcome import Accepted, Outcome, Transient

NAMES = [f"account-{number}" for number in range(200)]
"""So many that a set of objects would hardly ever return them in the order in which they were added."""
ACCOUNTS = [Account("acme", name, Channel.PUSH, "fcm", 1, {}, {}) for name in NAMES]
LATER_MS = 10**9


def test_accounts_in_use_keep_the_order_of_their_use():
    views = LocalHealths()
    views.use(ACCOUNTS)
    assert [view.account.name for view in views.used()] == NAMES
    assert views.used() == []


@pytest.mark.parametrize(("outcome", "reported"), [(Accepted("1"), "calm"), (Transient("unavailable"), "due")])
def test_reports_keep_the_order_of_the_calls(outcome: Outcome, reported: str):
    views = LocalHealths()
    for account in ACCOUNTS:
        views.report(account, outcome, LATER_MS, LATER_MS)
    assert [view.account.name for view in getattr(views, reported)] == NAMES
