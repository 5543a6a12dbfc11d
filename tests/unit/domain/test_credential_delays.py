"""The wait after refused credentials grows up to its bound, and ends."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.credential_delays import Refusals, is_forgiven, refused_again
from clarion.domain.limits_processes import CREDENTIAL_DELAY_MS_MAX, CREDENTIAL_DELAY_MS_MIN, CREDENTIAL_QUIET_MS


def waits_of(number, free, now_ms=1_000_000):
    """Return the waits after each of a number of refused credentials, each of which comes when the wait before is over."""
    refusals, waits_ms = Refusals(), []
    for _ in range(number):
        refusals = refused_again(refusals, free, now_ms)
        waits_ms.append(refusals.until_ms - now_ms)
        now_ms = refusals.until_ms
    return waits_ms


def test_the_first_are_free_and_each_further_one_doubles_the_wait():
    assert waits_of(6, 3) == [0, 0, 0, *(CREDENTIAL_DELAY_MS_MIN << n for n in range(3))]


@given(st.integers(1, 200), st.integers(1, 50))
def test_waits_grow_up_to_the_bound(number, free):
    waits_ms = waits_of(number, free)
    assert all(before <= after for before, after in pairwise(waits_ms))
    assert (max(waits_ms) == 0) == (number <= free)
    assert max(waits_ms) <= CREDENTIAL_DELAY_MS_MAX
    assert number < free + 20 or waits_ms[-1] == CREDENTIAL_DELAY_MS_MAX


@given(st.integers(0, 100), st.integers(0, 10**12), st.integers(0, 10**9))
def test_quiet_time_forgives_all(number, until_ms, pause_ms):
    refusals, now_ms = Refusals(number, until_ms), until_ms + pause_ms
    assert is_forgiven(refusals, now_ms) == (pause_ms >= CREDENTIAL_QUIET_MS)
    assert refused_again(refusals, 5, now_ms).number == (1 if pause_ms >= CREDENTIAL_QUIET_MS else number + 1)


@given(st.integers(0, 100), st.integers(0, 10**6), st.integers(0, 10**6))
def test_one_more_never_shortens_a_wait(number, until_ms, now_ms):
    assert refused_again(Refusals(number, until_ms), 5, now_ms).until_ms >= until_ms
