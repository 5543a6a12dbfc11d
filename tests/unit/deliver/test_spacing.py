"""Deliveries that wait for a recovering account return one after the other."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.accounts.spacing import Spacing
from clarion.domain.limits_delivery import PARK_MS_MAX, PARK_MS_MIN

NOW_MS = 1_700_000_000_000
MAIL, OTHER = ("acme", "mail"), ("other", "mail")


def test_they_return_at_the_accounts_rate_and_batches_queue():
    spacing = Spacing()
    assert spacing.turns(MAIL, NOW_MS, 10_000, 3) == [NOW_MS + PARK_MS_MIN + step for step in (0, 100, 200)]
    assert spacing.turns(MAIL, NOW_MS, 10_000, 2) == [NOW_MS + PARK_MS_MIN + step for step in (300, 400)]
    assert spacing.turns(OTHER, NOW_MS, 10_000, 1) == [NOW_MS + PARK_MS_MIN], "each account has its own"
    later_ms = NOW_MS + 60_000
    assert spacing.turns(MAIL, later_ms, 10_000, 1) == [later_ms + PARK_MS_MIN], "no time lies in the past"


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 100_000), st.integers(1, 2_000)), max_size=12))
def test_all_return_within_the_longest_wait(batches):
    spacing, now_ms = Spacing(), NOW_MS
    for passed_ms, pace_m, count in batches:
        now_ms += passed_ms
        turns = spacing.turns(MAIL, now_ms, pace_m, count)
        assert len(turns) == count
        assert all(now_ms + PARK_MS_MIN <= turn_ms < now_ms + PARK_MS_MAX for turn_ms in turns)
