"""Rates of requests against a leaky bucket in fractions: never more than the burst and the rate permit, never fewer."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.request_rate import NS_PER_S, RequestRate, seconds

rates = st.builds(RequestRate, st.sampled_from([1, 2, 5, 10, 1_000, 1_000_000]), st.integers(1, 50))
pauses = st.lists(st.integers(0, 3 * NS_PER_S) | st.integers(0, 2_000), min_size=1, max_size=80)


@given(rates, pauses, st.integers(0, 10**18))
def test_what_is_admitted_is_what_fits_into_a_leaky_bucket(rate, pauses, now_ns):
    whole_ns, level, last_ns = 0, Fraction(0), now_ns
    for pause_ns in pauses:
        now_ns += pause_ns
        level = max(Fraction(0), level - Fraction(rate.per_s * (now_ns - last_ns), NS_PER_S))
        last_ns = now_ns
        room = int(rate.burst - level)
        assert rate.status(max(0, whole_ns - now_ns)).remaining == room
        charged_ns, wait_ns = rate.charged(whole_ns, now_ns), rate.wait_ns(whole_ns, now_ns)
        assert (charged_ns > 0) == (wait_ns <= 0) == (room >= 1)
        if charged_ns:
            whole_ns, level = charged_ns, level + 1
        else:
            # It fits after that time, and not before.
            assert rate.charged(whole_ns, now_ns + wait_ns)
            assert not rate.charged(whole_ns, now_ns + wait_ns - 1)


def test_an_unused_burst_is_whole_whenever_it_was_used():
    rate = RequestRate(10, 30)
    assert rate.charged(0, 5) == rate.charged(5, 5)
    assert rate.status(0) == (30, 30, 0, 3)
    assert rate.status(rate.charged(0, 5) - 5) == (30, 29, 1, 3)
    assert (rate.window_s, RequestRate(10, 5).window_s, RequestRate(3, 10).window_s) == (3, 1, 4)


@given(rates, st.integers(0, 10**18), st.integers(0, 10**18))
def test_after_a_change_nobody_waits_longer_than_for_one_request(rate, whole_ns, now_ns):
    settled_ns = rate.settled(whole_ns, now_ns)
    assert settled_ns <= whole_ns
    assert rate.wait_ns(settled_ns, now_ns) <= NS_PER_S // rate.per_s
    assert 0 <= rate.status(max(0, settled_ns - now_ns)).remaining <= rate.burst


def test_seconds_are_rounded_up():
    assert [seconds(time_ns) for time_ns in (0, 1, NS_PER_S, NS_PER_S + 1)] == [0, 1, 1, 2]
