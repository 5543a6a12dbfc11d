"""When an account counts as down and how it is used again: the laws, and the figures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from clarion.deliver.rules.breaker import admission, aged, current, observe, pace_m, unprobed
from clarion.deliver.rules.tallies import counted, within
from clarion.deliver.rules.verdict import verdict_of
from clarion.domain.limits_breakers import (
    MEASURE_MS_MIN,
    PROBE_MS_MAX,
    PROBE_WAIT_MS,
    RECOVERY_BURST_MS,
    RECOVERY_DOUBLING_MS,
    RECOVERY_QUIET_MS,
)
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Refused,
    Throttled,
    Transient,
)
from clarion.domain.resilience import Breaker
from clarion.domain.standing import Standing, Tally

T0 = 50_000_000
USUAL = Breaker()
TALLIES = st.builds(lambda calls, failures: Tally(calls, min(calls, failures)), st.integers(1, 40), st.integers(0, 40))
BREAKERS = st.builds(
    Breaker,
    failure_rate=st.sampled_from([0.1, 0.5, 0.9]),
    calls_min=st.sampled_from([1, 5, 20]),
    window_ms=st.sampled_from([1_000, 30_000, 3_600_000]),
    degraded_window_ms=st.sampled_from([1_000, 300_000, 3_600_000]),
    degraded_calls_min=st.sampled_from([10, 200]),
    open_ms=st.sampled_from([1_000, 5_000]),
    open_max_ms=st.sampled_from([1_000, 60_000]),
)


def told(standing, now_ms, calls, failures=0, breaker=USUAL, **more):
    return observe(standing, breaker, standing.version, now_ms, Tally(calls, failures, **more))


def steady(seconds, per_second, *, start_ms=T0, standing=None, failing=0.0):
    standing = standing or Standing()
    for second in range(seconds):
        standing = told(standing, start_ms + second * 1_000, per_second, int(per_second * failing))
    return standing, start_ms + seconds * 1_000


def down(now_ms=T0, breaker=USUAL, rate_m=0):
    standing = observe(Standing(rate_m=rate_m), breaker, 0, now_ms, Tally(100, 100))
    assert standing.state == "open"
    return standing


def recovering(now_ms=T0, rate_m=0):
    standing = down(now_ms, rate_m=rate_m)
    standing, granted, _ = admission(standing, USUAL, 0, standing.until_ms, 1)
    assert granted == 1
    return told(standing, standing.changed_ms + 10, 1, probe=standing.until_ms)


def test_an_account_opens_over_the_failure_rate_of_enough_calls():
    assert told(Standing(), T0, 19, 19).state == "closed"
    assert told(Standing(), T0, 20, 10).state == "closed"
    opened = told(Standing(), T0, 20, 11)
    assert (opened.state, opened.until_ms, opened.opens) == ("open", T0 + USUAL.open_ms, 1)
    assert opened.detail == "11 of 20 calls failed within 30 s"


def test_only_what_failed_within_the_window_counts():
    standing = told(Standing(), T0, 19, 19)
    assert told(standing, T0 + USUAL.window_ms * 9 // 10 - 2_001, 1, 1).state == "open"
    assert told(standing, T0 + USUAL.window_ms + 1, 1, 1).state == "closed"


def test_misconfiguration_opens_at_once_with_the_vendors_words():
    opened = told(Standing(), T0, 1, 1, misconfigured="key revoked")
    assert (opened.state, opened.detail) == ("open", "key revoked")
    assert told(opened, T0 + 1, 100, 100) is opened


def test_each_failed_probe_doubles_the_time_up_to_its_bound():
    standing, pauses = down(), []
    for _ in range(7):
        now_ms = standing.until_ms
        pauses.append(now_ms - standing.changed_ms)
        standing, granted, _ = admission(standing, USUAL, 0, now_ms, 5)
        assert granted == 1
        standing = told(standing, now_ms + 100, 1, 1, probe=standing.until_ms)
    assert pauses == [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]


def test_one_probe_is_handed_out_and_others_come_again_soon():
    standing = down()
    now_ms = standing.until_ms
    standing, granted, until_ms = admission(standing, USUAL, 0, now_ms, 50)
    assert (standing.state, granted, until_ms) == ("half_open", 1, now_ms + PROBE_WAIT_MS)
    after, granted, until_ms = admission(standing, USUAL, 0, now_ms + 10, 50)
    assert (after, granted, until_ms) == (standing, 0, now_ms + 10 + PROBE_WAIT_MS)


def test_a_probe_that_nobody_answers_is_given_to_the_next():
    standing = down()
    standing, _, _ = admission(standing, USUAL, 0, standing.until_ms, 1)
    first, late_ms = standing.until_ms, standing.changed_ms + PROBE_MS_MAX
    assert admission(standing, USUAL, 0, late_ms - 1, 1)[1] == 0
    standing, granted, _ = admission(standing, USUAL, 0, late_ms, 1)
    assert (standing.state, granted) == ("half_open", 1)
    # The first one was given up; its answer decides nothing any more.
    assert told(standing, late_ms + 1, 1, 1, probe=first) is standing
    assert told(standing, late_ms + 1, 1, probe=standing.until_ms).state == "recovering"


def test_calls_from_before_decide_nothing_while_a_probe_is_out():
    standing = down()
    standing, _, _ = admission(standing, USUAL, 0, standing.until_ms, 1)
    assert told(standing, standing.changed_ms + 1, 500, 500) is standing
    assert told(standing, standing.changed_ms + 1, 500) is standing
    assert told(standing, standing.changed_ms + 1, 1, 1, misconfigured="old news") is standing


def test_a_probe_that_was_not_called_is_free_for_the_next():
    standing = down()
    standing, _, _ = admission(standing, USUAL, 0, standing.until_ms, 1)
    free = unprobed(standing, 0, standing.changed_ms + 5, standing.until_ms)
    assert (free.state, free.opens) == ("open", standing.opens)
    assert admission(free, USUAL, 0, free.changed_ms, 1)[1] == 1
    assert unprobed(standing, 0, standing.changed_ms + 5, standing.until_ms + 1) is standing


def test_a_probe_that_finds_the_account_misconfigured_says_so():
    standing = down()
    standing, _, _ = admission(standing, USUAL, 0, standing.until_ms, 1)
    opened = told(standing, standing.changed_ms + 5, 1, 1, misconfigured="no credit", probe=standing.until_ms)
    assert (opened.state, opened.detail, opened.opens) == ("open", "no credit", 2)


def test_a_probe_that_is_throttled_finds_the_account_alive():
    standing = down()
    standing, _, _ = admission(standing, USUAL, 0, standing.until_ms, 1)
    now_ms = standing.changed_ms + 5
    standing = told(standing, now_ms, 0, probe=standing.until_ms, paused_until_ms=now_ms + 2_000)
    assert standing.state == "recovering"
    assert admission(standing, USUAL, 0, now_ms + 1, 5)[1:] == (0, now_ms + 2_000)


def test_recovery_begins_at_the_pace_of_before_and_a_little_more():
    standing = recovering(rate_m=100_000)
    start_ms, granted = standing.changed_ms, 0
    for after_ms in range(0, 10_000, 50):
        standing, got, until_ms = admission(standing, USUAL, 0, start_ms + after_ms, 100)
        assert until_ms > start_ms + after_ms
        granted += got
    assert 1_380 <= granted <= 1_400


def test_recovery_has_a_least_pace_and_doubles_it():
    standing = replace(recovering(), rate_m=0)
    assert pace_m(standing, standing.changed_ms) == 10_000
    assert pace_m(standing, standing.changed_ms + RECOVERY_DOUBLING_MS) == 20_000
    assert pace_m(standing, standing.changed_ms + 3 * RECOVERY_DOUBLING_MS - 1) == 40_000
    assert pace_m(standing, standing.changed_ms + 10_000 * RECOVERY_DOUBLING_MS) == 10_000 << 20


def test_an_account_has_recovered_when_nothing_had_to_wait_for_a_while():
    standing = recovering()
    standing, granted, _ = admission(standing, USUAL, 0, standing.changed_ms + 30_000, 1_000)
    assert 0 < granted < 1_000
    refused_ms = standing.refused_ms
    assert aged(standing, USUAL, 0, refused_ms + RECOVERY_QUIET_MS - 1).state == "recovering"
    closed = aged(standing, USUAL, 0, refused_ms + RECOVERY_QUIET_MS)
    assert (closed.state, closed.opens, closed.detail) == ("closed", 0, "")
    assert admission(standing, USUAL, 0, refused_ms + RECOVERY_QUIET_MS, 1_000)[1] == 1_000


def test_an_account_that_fails_again_while_recovering_waits_for_longer():
    standing = recovering(rate_m=70_000)
    opened = told(standing, standing.changed_ms + 1_000, 20, 20)
    assert (opened.state, opened.opens, opened.rate_m) == ("open", 2, 70_000)
    assert opened.until_ms - opened.changed_ms == 10_000


def test_the_pace_of_before_is_measured_while_all_is_well():
    standing, now_ms = steady(120, 50)
    opened = told(standing, now_ms, 60, 60, breaker=replace(USUAL, failure_rate=0.01))
    assert 48_000 <= opened.rate_m <= 52_000


def test_an_outage_does_not_spoil_the_pace_of_before():
    standing, now_ms = steady(120, 50)
    breaker = replace(USUAL, failure_rate=1.0)  # it never opens: failures are all there is, ten times as many
    for second in range(120):
        standing = told(standing, now_ms + second * 1_000, 500, 500, breaker=replace(breaker, failure_rate=0.999))
    assert 45_000 <= standing.rate_m <= 55_000


def test_a_first_burst_is_no_pace():
    standing = Standing()
    for after_ms in range(0, 300, 10):
        standing = told(standing, T0 + after_ms, 30, 0)
    opened = told(standing, T0 + 400, 1_000, 1_000)
    assert opened.state == "open"
    assert opened.rate_m <= 1_900 * 1_000_000 // MEASURE_MS_MIN


def test_idle_time_is_part_of_the_pace():
    standing, now_ms = steady(120, 100)
    standing = told(standing, now_ms + 600_000, 1)
    assert standing.rate_m < 25_000


def test_a_little_failing_degrades_and_less_of_it_mends():
    standing, now_ms = steady(20, 20, failing=0.1)
    assert standing.state == "degraded"
    assert "calls failed within 300 s" in standing.detail
    assert admission(standing, USUAL, 0, now_ms, 1_000)[1] == 1_000
    # 40 of 800 is at the rate that degrades, and not below the half of it that mends.
    standing, now_ms = steady(20, 20, start_ms=now_ms, standing=standing)
    assert standing.state == "degraded"
    standing, _ = steady(45, 20, start_ms=now_ms, standing=standing)
    assert (standing.state, standing.detail) == ("closed", "")


def test_what_degraded_an_account_is_forgotten_while_others_are_used():
    standing, now_ms = steady(20, 20, failing=0.1)
    assert aged(standing, USUAL, 0, now_ms + 200_000) is standing
    assert aged(standing, USUAL, 0, now_ms + USUAL.degraded_window_ms).state == "closed"


def test_a_pause_lets_nothing_through_and_is_no_failure():
    standing = told(Standing(), T0, 0, paused_until_ms=T0 + 5_000)
    assert standing.state == "closed"
    assert admission(standing, USUAL, 0, T0 + 4_999, 10)[1:] == (0, T0 + 5_000)
    assert admission(standing, USUAL, 0, T0 + 5_000, 10)[1] == 10
    assert told(standing, T0 + 1, 0, paused_until_ms=T0 + 3_000).paused_until_ms == T0 + 5_000


def test_a_changed_account_starts_anew():
    opened = replace(down(rate_m=5), version=3, paused_until_ms=T0 + 10**9)
    assert current(opened, 3, T0) is opened
    standing, granted, _ = admission(opened, USUAL, 4, T0 + 1, 7)
    assert (standing, granted) == (Standing(version=4), 7)
    assert observe(opened, USUAL, 4, T0 + 1, Tally(2, 1)).state == "closed"


def test_what_an_earlier_boot_found_is_not_known():
    opened = down()
    assert current(opened, 0, T0 - 1_000) is opened
    assert current(opened, 0, 1_000) == Standing()
    assert current(steady(1, 1)[0], 0, 1_000) == Standing()


@pytest.mark.parametrize(
    ("outcome", "calls", "failures"),
    [
        (Accepted("id"), 1, 0),
        (Refused("too_long"), 1, 0),
        (Refused("render_failed"), 0, 0),
        (Refused("unbuildable"), 0, 0),
        (Refused("egress_blocked"), 0, 0),
        (InvalidRecipient("gone"), 1, 0),
        (Throttled(5, scope="recipient"), 1, 0),
        (Throttled(), 0, 0),
        (Transient("503"), 1, 1),
        (Ambiguous("no answer"), 1, 1),
        (Misconfigured("401"), 1, 1),
    ],
)
def test_what_an_outcome_says_of_its_account(outcome, calls, failures):
    tally = verdict_of(outcome, T0)
    assert (tally.calls, tally.failures) == (calls, failures)
    assert tally.misconfigured == ("401" if isinstance(outcome, Misconfigured) else None)


def test_a_pause_is_as_long_as_asked_for_or_a_second():
    assert verdict_of(Throttled(7_000), T0).paused_until_ms == T0 + 7_000
    assert verdict_of(Throttled(), T0).paused_until_ms == T0 + 1_000
    assert verdict_of(Throttled(7_000, scope="recipient"), T0).paused_until_ms == 0


def test_dead_tokens_never_open_an_account():
    standing = Standing()
    for after_ms in range(0, 60_000, 100):
        standing = observe(standing, USUAL, 0, T0 + after_ms, verdict_of(InvalidRecipient("gone"), T0))
    assert standing.state == "closed"


@given(st.lists(TALLIES, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_what_workers_tell_does_not_matter_within_a_slot(tallies, chance):
    shuffled = chance.sample(tallies, len(tallies))
    calm = replace(USUAL, failure_rate=1.0)  # whoever opens it stops counting
    one = other = Standing()
    for tally, its in zip(tallies, shuffled, strict=True):
        one, other = observe(one, calm, 0, T0, tally), observe(other, calm, 0, T0, its)
    assert (one.slots, one.measure) == (other.slots, other.measure)
    assert within(one.slots, calm.window_ms, T0) == (sum(t.calls for t in tallies), sum(t.failures for t in tallies))


@given(BREAKERS, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 60)), max_size=40))
def test_a_closed_account_gets_all_it_asks_for_and_a_trickle_never_opens_it(breaker, steps):
    standing, now_ms, recent = Standing(), T0, []
    for passed_ms, wanted in steps:
        now_ms += passed_ms
        recent = [at_ms for at_ms in recent if at_ms > now_ms - breaker.window_ms]
        if len(recent) + 1 < breaker.calls_min:
            recent.append(now_ms)
            standing = told(standing, now_ms, 1, 1, breaker=breaker)
        assert standing.state in ("closed", "degraded")
        standing, granted, until_ms = admission(standing, breaker, 0, now_ms, wanted)
        assert (granted, until_ms) == (wanted, now_ms)


@given(BREAKERS, st.lists(st.tuples(st.integers(0, 400_000), TALLIES), max_size=60))
def test_slots_are_few_in_order_and_hold_what_the_windows_saw(breaker, steps):
    slots, now_ms, seen = (), T0, []
    for passed_ms, tally in steps:
        now_ms += passed_ms
        seen.append((now_ms, tally))
        slots = counted(slots, breaker, now_ms, tally.calls, tally.failures)
        assert len(slots) <= 45
        assert [slot[0] for slot in slots] == sorted({slot[0] for slot in slots})
        for window_ms, parts in ((breaker.window_ms, 10), (breaker.degraded_window_ms, 30)):
            calls, failures = within(slots, window_ms, now_ms)
            assert calls <= sum(t.calls for at_ms, t in seen if at_ms > now_ms - window_ms)
            if window_ms <= breaker.window_ms or window_ms >= breaker.degraded_window_ms >= breaker.window_ms:
                sure_ms = window_ms - window_ms // parts - breaker.window_ms // 10
                assert calls >= sum(t.calls for at_ms, t in seen if at_ms > now_ms - sure_ms)
            assert failures <= calls


@given(
    st.integers(0, 500_000),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 300)), min_size=1, max_size=60),
)
def test_a_recovering_account_never_gets_more_than_its_pace(rate_m, steps):
    standing = recovering(rate_m=rate_m)
    now_ms, grants = standing.changed_ms, []
    for passed_ms, wanted in steps:
        now_ms += passed_ms
        pace = pace_m(standing, now_ms)
        standing, granted, until_ms = admission(standing, USUAL, 0, now_ms, wanted)
        if standing.state != "recovering":
            return
        assert granted <= wanted
        assert (until_ms > now_ms) == (granted < wanted)
        grants.append((now_ms, granted))
        for start_ms, _ in grants:
            within_it = sum(number for at_ms, number in grants if at_ms >= start_ms)
            burst = 0 if start_ms == standing.changed_ms else max(pace * RECOVERY_BURST_MS / 1e6, 1)
            assert within_it <= pace * (now_ms - start_ms) / 1e6 + burst + 1e-6


@given(st.integers(0, 500_000), st.integers(1, 200), st.integers(0, 30_000))
def test_whoever_comes_when_told_to_gets_something(rate_m, wanted, later_ms):
    standing = recovering(rate_m=rate_m)
    now_ms = standing.changed_ms + later_ms
    while True:
        standing, granted, until_ms = admission(standing, USUAL, 0, now_ms, wanted)
        if granted == wanted:
            return
        assert admission(standing, USUAL, 0, until_ms, 1)[1] == 1
        wanted -= granted
        now_ms = until_ms


class Workers(RuleBasedStateMachine):
    """Several workers share one standing; each knows which probe it has out."""

    def __init__(self):
        super().__init__()
        self.standing = Standing()
        self.now_ms = T0
        self.probes = {}

    @rule(passed_ms=st.sampled_from([0, 1, 500, 1_000, 5_000, 20_000, 60_000]))
    def time_goes_by(self, passed_ms):
        self.now_ms += passed_ms

    @rule(worker=st.integers(0, 3), wanted=st.integers(0, 200))
    def somebody_asks(self, worker, wanted):
        before = self.standing
        self.standing, granted, until_ms = admission(before, USUAL, 0, self.now_ms, wanted)
        assert 0 <= granted <= wanted
        assert until_ms >= self.now_ms
        if self.now_ms < before.paused_until_ms:
            assert granted == 0
        elif before.state == "open":
            assert granted == (1 if wanted and self.now_ms >= before.until_ms else 0)
        elif before.state in ("closed", "degraded"):
            assert granted == wanted
        if granted and self.standing.state == "half_open":
            assert not any(given_up_ms > self.now_ms for given_up_ms in self.probes.values())
            self.probes[worker] = self.standing.until_ms

    @rule(calls=st.integers(1, 50), failing=st.sampled_from([0.0, 0.1, 1.0]), quiet_ms=st.sampled_from([0, 0, 2_000]))
    def calls_end(self, calls, failing, quiet_ms):
        before = self.standing
        pause = self.now_ms + quiet_ms if quiet_ms else 0
        self.standing = observe(
            before, USUAL, 0, self.now_ms, Tally(calls, int(calls * failing), paused_until_ms=pause)
        )
        if before.state in ("open", "half_open"):
            assert self.standing.state == before.state

    @precondition(lambda self: self.probes)
    @rule(failed=st.booleans(), called=st.booleans())
    def a_probe_ends(self, failed, called):
        _, probe = self.probes.popitem()
        before = self.standing
        if called:
            self.standing = observe(before, USUAL, 0, self.now_ms, Tally(1, int(failed), probe=probe))
        else:
            self.standing = unprobed(before, 0, self.now_ms, probe)
        if before.state == "half_open" and before.until_ms == probe:
            assert self.standing.state == ("open" if failed or not called else "recovering")
        elif before.state in ("open", "half_open"):
            assert self.standing is before

    @rule(words=st.sampled_from(["", "key revoked"]))
    def the_account_is_misconfigured(self, words):
        before = self.standing
        self.standing = observe(before, USUAL, 0, self.now_ms, Tally(1, 1, words))
        if before.state != "half_open":
            assert self.standing.state == "open"

    @invariant()
    def it_is_bounded(self):
        assert len(self.standing.slots) <= 45
        if self.standing.state == "open":
            assert self.standing.until_ms <= self.standing.changed_ms + USUAL.open_max_ms


TestWorkers = Workers.TestCase


def outage(rate, seconds_down, chance):
    """A minute of traffic, an outage in which every other delivery finds another way, and a quarter of an hour after it;
    what waits asks again and again."""
    standing, waiting, taken, probes = Standing(), 0, [], 0
    for tick in range((60 + seconds_down + 900) * 10):
        now_ms, ends = T0 + tick * 100, (60 + seconds_down) * 10
        coming = rate // 10 + (chance.random() < rate % 10 / 10)
        waiting += coming if tick < 600 or tick >= ends else coming // 2
        standing, granted, _ = admission(standing, USUAL, 0, now_ms, waiting)
        well = tick < 600 or tick >= ends
        if granted:
            probe = standing.until_ms if standing.state == "half_open" else 0
            probes += bool(probe)
            standing = told(standing, now_ms, granted, 0 if well else granted, probe=probe)
        waiting -= granted if well else 0
        taken.append(granted if well else 0)
    return standing, waiting, taken, probes


@pytest.mark.parametrize("rate", [20, 200])
def test_after_ten_minutes_down_all_is_sent_within_a_quarter_of_an_hour_without_a_spike(rate):
    standing, waiting, taken, probes = outage(rate, 600, random.Random(rate))
    assert (standing.state, waiting) == ("closed", 0)
    assert probes <= 15
    for span in (10, 100, 600):
        assert max(sum(taken[at : at + span]) for at in range(6_600, 15_600 - span, 10)) <= 1.5 * rate * span / 10
