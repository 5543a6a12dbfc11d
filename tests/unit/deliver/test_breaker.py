"""When an account counts as down and how it is used again: the properties, and the figures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from clarion.deliver.rules.account_tally import tally_of
from clarion.deliver.rules.breaker import admit_calls, age, current, observe, pace_m, return_probe
from clarion.deliver.rules.call_windows import count_calls, within
from clarion.domain.account_health import AccountHealth, Tally
from clarion.domain.limits_delivery import (
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


def report_calls(health, now_ms, calls, failures=0, breaker=USUAL, **more):
    return observe(health, breaker, health.version, now_ms, Tally(calls, failures, **more))


def steady(seconds, per_second, *, start_ms=T0, health=None, failing=0.0):
    health = health or AccountHealth()
    for second in range(seconds):
        health = report_calls(health, start_ms + second * 1_000, per_second, int(per_second * failing))
    return health, start_ms + seconds * 1_000


def down(now_ms=T0, breaker=USUAL, rate_m=0):
    health = observe(AccountHealth(rate_m=rate_m), breaker, 0, now_ms, Tally(100, 100))
    assert health.state == "open"
    return health


def recovering(now_ms=T0, rate_m=0):
    health = down(now_ms, rate_m=rate_m)
    health, granted, _ = admit_calls(health, USUAL, 0, health.until_ms, 1)
    assert granted == 1
    return report_calls(health, health.changed_ms + 10, 1, probe=health.until_ms)


def test_an_account_opens_over_the_failure_rate_of_enough_calls():
    assert report_calls(AccountHealth(), T0, 19, 19).state == "closed"
    assert report_calls(AccountHealth(), T0, 20, 10).state == "closed"
    opened = report_calls(AccountHealth(), T0, 20, 11)
    assert (opened.state, opened.until_ms, opened.opens) == ("open", T0 + USUAL.open_ms, 1)
    assert opened.detail == "11 of 20 calls failed within 30 s"


def test_only_failures_within_the_window_count():
    health = report_calls(AccountHealth(), T0, 19, 19)
    assert report_calls(health, T0 + USUAL.window_ms * 9 // 10 - 2_001, 1, 1).state == "open"
    assert report_calls(health, T0 + USUAL.window_ms + 1, 1, 1).state == "closed"


def test_misconfiguration_opens_at_once_with_the_vendors_message():
    opened = report_calls(AccountHealth(), T0, 1, 1, misconfigured="key revoked")
    assert (opened.state, opened.detail) == ("open", "key revoked")
    assert report_calls(opened, T0 + 1, 100, 100) is opened


def test_each_failed_probe_doubles_the_time_up_to_its_bound():
    health, pauses = down(), []
    for _ in range(7):
        now_ms = health.until_ms
        pauses.append(now_ms - health.changed_ms)
        health, granted, _ = admit_calls(health, USUAL, 0, now_ms, 5)
        assert granted == 1
        health = report_calls(health, now_ms + 100, 1, 1, probe=health.until_ms)
    assert pauses == [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]


def test_one_probe_is_handed_out_and_the_others_retry_soon():
    health = down()
    now_ms = health.until_ms
    health, granted, until_ms = admit_calls(health, USUAL, 0, now_ms, 50)
    assert (health.state, granted, until_ms) == ("half_open", 1, now_ms + PROBE_WAIT_MS)
    after, granted, until_ms = admit_calls(health, USUAL, 0, now_ms + 10, 50)
    assert (after, granted, until_ms) == (health, 0, now_ms + 10 + PROBE_WAIT_MS)


def test_an_unanswered_probe_is_given_to_the_next():
    health = down()
    health, _, _ = admit_calls(health, USUAL, 0, health.until_ms, 1)
    first, late_ms = health.until_ms, health.changed_ms + PROBE_MS_MAX
    assert admit_calls(health, USUAL, 0, late_ms - 1, 1)[1] == 0
    health, granted, _ = admit_calls(health, USUAL, 0, late_ms, 1)
    assert (health.state, granted) == ("half_open", 1)
    # The first probe expired; its answer is ignored.
    assert report_calls(health, late_ms + 1, 1, 1, probe=first) is health
    assert report_calls(health, late_ms + 1, 1, probe=health.until_ms).state == "recovering"


def test_earlier_calls_decide_nothing_while_a_probe_is_out():
    health = down()
    health, _, _ = admit_calls(health, USUAL, 0, health.until_ms, 1)
    assert report_calls(health, health.changed_ms + 1, 500, 500) is health
    assert report_calls(health, health.changed_ms + 1, 500) is health
    assert report_calls(health, health.changed_ms + 1, 1, 1, misconfigured="old news") is health


def test_a_probe_that_was_not_called_is_free_for_the_next():
    health = down()
    health, _, _ = admit_calls(health, USUAL, 0, health.until_ms, 1)
    free = return_probe(health, 0, health.changed_ms + 5, health.until_ms)
    assert (free.state, free.opens) == ("open", health.opens)
    assert admit_calls(free, USUAL, 0, free.changed_ms, 1)[1] == 1
    assert return_probe(health, 0, health.changed_ms + 5, health.until_ms + 1) is health


def test_a_probe_reports_a_misconfigured_account():
    health = down()
    health, _, _ = admit_calls(health, USUAL, 0, health.until_ms, 1)
    opened = report_calls(health, health.changed_ms + 5, 1, 1, misconfigured="no credit", probe=health.until_ms)
    assert (opened.state, opened.detail, opened.opens) == ("open", "no credit", 2)


def test_a_probe_that_is_throttled_finds_the_account_alive():
    health = down()
    health, _, _ = admit_calls(health, USUAL, 0, health.until_ms, 1)
    now_ms = health.changed_ms + 5
    health = report_calls(health, now_ms, 0, probe=health.until_ms, paused_until_ms=now_ms + 2_000)
    assert health.state == "recovering"
    assert admit_calls(health, USUAL, 0, now_ms + 1, 5)[1:] == (0, now_ms + 2_000)


def test_recovery_begins_slightly_above_the_earlier_rate():
    health = recovering(rate_m=100_000)
    start_ms, granted = health.changed_ms, 0
    for after_ms in range(0, 10_000, 50):
        health, got, until_ms = admit_calls(health, USUAL, 0, start_ms + after_ms, 100)
        assert until_ms > start_ms + after_ms
        granted += got
    assert 1_380 <= granted <= 1_400


def test_recovery_has_a_least_pace_and_doubles_it():
    health = replace(recovering(), rate_m=0)
    assert pace_m(health, health.changed_ms) == 10_000
    assert pace_m(health, health.changed_ms + RECOVERY_DOUBLING_MS) == 20_000
    assert pace_m(health, health.changed_ms + 3 * RECOVERY_DOUBLING_MS - 1) == 40_000
    assert pace_m(health, health.changed_ms + 10_000 * RECOVERY_DOUBLING_MS) == 10_000 << 20


def test_an_account_has_recovered_when_nothing_had_to_wait_for_a_while():
    health = recovering()
    health, granted, _ = admit_calls(health, USUAL, 0, health.changed_ms + 30_000, 1_000)
    assert 0 < granted < 1_000
    refused_ms = health.refused_ms
    assert age(health, USUAL, 0, refused_ms + RECOVERY_QUIET_MS - 1).state == "recovering"
    closed = age(health, USUAL, 0, refused_ms + RECOVERY_QUIET_MS)
    assert (closed.state, closed.opens, closed.detail) == ("closed", 0, "")
    assert admit_calls(health, USUAL, 0, refused_ms + RECOVERY_QUIET_MS, 1_000)[1] == 1_000


def test_an_account_that_fails_again_while_recovering_waits_for_longer():
    health = recovering(rate_m=70_000)
    opened = report_calls(health, health.changed_ms + 1_000, 20, 20)
    assert (opened.state, opened.opens, opened.rate_m) == ("open", 2, 70_000)
    assert opened.until_ms - opened.changed_ms == 10_000


def test_the_normal_rate_is_measured_while_the_account_is_healthy():
    health, now_ms = steady(120, 50)
    opened = report_calls(health, now_ms, 60, 60, breaker=replace(USUAL, failure_rate=0.01))
    assert 48_000 <= opened.rate_m <= 52_000


def test_an_outage_does_not_change_the_normal_rate():
    health, now_ms = steady(120, 50)
    breaker = replace(USUAL, failure_rate=1.0)  # it never opens: there are only failures, ten times as many
    for second in range(120):
        health = report_calls(health, now_ms + second * 1_000, 500, 500, breaker=replace(breaker, failure_rate=0.999))
    assert 45_000 <= health.rate_m <= 55_000


def test_a_first_burst_is_no_pace():
    health = AccountHealth()
    for after_ms in range(0, 300, 10):
        health = report_calls(health, T0 + after_ms, 30, 0)
    opened = report_calls(health, T0 + 400, 1_000, 1_000)
    assert opened.state == "open"
    assert opened.rate_m <= 1_900 * 1_000_000 // MEASURE_MS_MIN


def test_idle_time_is_part_of_the_pace():
    health, now_ms = steady(120, 100)
    health = report_calls(health, now_ms + 600_000, 1)
    assert health.rate_m < 25_000


def test_a_little_failing_degrades_and_less_of_it_mends():
    health, now_ms = steady(20, 20, failing=0.1)
    assert health.state == "degraded"
    assert "calls failed within 300 s" in health.detail
    assert admit_calls(health, USUAL, 0, now_ms, 1_000)[1] == 1_000
    # 40 of 800 is at the rate that degrades, and not below the half of it that mends.
    health, now_ms = steady(20, 20, start_ms=now_ms, health=health)
    assert health.state == "degraded"
    health, _ = steady(45, 20, start_ms=now_ms, health=health)
    assert (health.state, health.detail) == ("closed", "")


def test_a_degradation_is_forgotten_while_other_accounts_are_used():
    health, now_ms = steady(20, 20, failing=0.1)
    assert age(health, USUAL, 0, now_ms + 200_000) is health
    assert age(health, USUAL, 0, now_ms + USUAL.degraded_window_ms).state == "closed"


def test_a_pause_lets_nothing_through_and_is_no_failure():
    health = report_calls(AccountHealth(), T0, 0, paused_until_ms=T0 + 5_000)
    assert health.state == "closed"
    assert admit_calls(health, USUAL, 0, T0 + 4_999, 10)[1:] == (0, T0 + 5_000)
    assert admit_calls(health, USUAL, 0, T0 + 5_000, 10)[1] == 10
    assert report_calls(health, T0 + 1, 0, paused_until_ms=T0 + 3_000).paused_until_ms == T0 + 5_000


def test_a_changed_account_starts_with_fresh_health():
    opened = replace(down(rate_m=5), version=3, paused_until_ms=T0 + 10**9)
    assert current(opened, 3, T0) is opened
    health, granted, _ = admit_calls(opened, USUAL, 4, T0 + 1, 7)
    assert (health, granted) == (AccountHealth(version=4), 7)
    assert observe(opened, USUAL, 4, T0 + 1, Tally(2, 1)).state == "closed"


def test_health_of_an_earlier_boot_is_ignored():
    opened = down()
    assert current(opened, 0, T0 - 1_000) is opened
    assert current(opened, 0, 1_000) == AccountHealth()
    assert current(steady(1, 1)[0], 0, 1_000) == AccountHealth()


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
def test_what_an_outcome_counts_for_its_account(outcome, calls, failures):
    tally = tally_of(outcome, T0)
    assert (tally.calls, tally.failures) == (calls, failures)
    assert tally.misconfigured == ("401" if isinstance(outcome, Misconfigured) else None)


def test_a_pause_is_as_long_as_asked_for_or_a_second():
    assert tally_of(Throttled(7_000), T0).paused_until_ms == T0 + 7_000
    assert tally_of(Throttled(), T0).paused_until_ms == T0 + 1_000
    assert tally_of(Throttled(7_000, scope="recipient"), T0).paused_until_ms == 0


def test_dead_tokens_never_open_an_account():
    health = AccountHealth()
    for after_ms in range(0, 60_000, 100):
        health = observe(health, USUAL, 0, T0 + after_ms, tally_of(InvalidRecipient("gone"), T0))
    assert health.state == "closed"


@given(st.lists(TALLIES, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_reports_does_not_matter_within_a_slot(tallies, chance):
    shuffled = chance.sample(tallies, len(tallies))
    calm = replace(USUAL, failure_rate=1.0)  # the worker that opens it stops counting
    one = other = AccountHealth()
    for tally, its in zip(tallies, shuffled, strict=True):
        one, other = observe(one, calm, 0, T0, tally), observe(other, calm, 0, T0, its)
    assert (one.slots, one.measure) == (other.slots, other.measure)
    assert within(one.slots, calm.window_ms, T0) == (sum(t.calls for t in tallies), sum(t.failures for t in tallies))


@given(BREAKERS, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 60)), max_size=40))
def test_a_closed_account_gets_all_it_asks_for_and_a_trickle_never_opens_it(breaker, steps):
    health, now_ms, recent = AccountHealth(), T0, []
    for passed_ms, wanted in steps:
        now_ms += passed_ms
        recent = [at_ms for at_ms in recent if at_ms > now_ms - breaker.window_ms]
        if len(recent) + 1 < breaker.calls_min:
            recent.append(now_ms)
            health = report_calls(health, now_ms, 1, 1, breaker=breaker)
        assert health.state in ("closed", "degraded")
        health, granted, until_ms = admit_calls(health, breaker, 0, now_ms, wanted)
        assert (granted, until_ms) == (wanted, now_ms)


@given(BREAKERS, st.lists(st.tuples(st.integers(0, 400_000), TALLIES), max_size=60))
def test_slots_are_few_in_order_and_hold_what_the_windows_saw(breaker, steps):
    slots, now_ms, seen = (), T0, []
    for passed_ms, tally in steps:
        now_ms += passed_ms
        seen.append((now_ms, tally))
        slots = count_calls(slots, breaker, now_ms, tally.calls, tally.failures)
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
    health = recovering(rate_m=rate_m)
    now_ms, grants = health.changed_ms, []
    for passed_ms, wanted in steps:
        now_ms += passed_ms
        pace = pace_m(health, now_ms)
        health, granted, until_ms = admit_calls(health, USUAL, 0, now_ms, wanted)
        if health.state != "recovering":
            return
        assert granted <= wanted
        assert (until_ms > now_ms) == (granted < wanted)
        grants.append((now_ms, granted))
        for start_ms, _ in grants:
            within_it = sum(number for at_ms, number in grants if at_ms >= start_ms)
            burst = 0 if start_ms == health.changed_ms else max(pace * RECOVERY_BURST_MS / 1e6, 1)
            assert within_it <= pace * (now_ms - start_ms) / 1e6 + burst + 1e-6


@given(st.integers(0, 500_000), st.integers(1, 200), st.integers(0, 30_000))
def test_a_delivery_that_returns_on_time_is_granted(rate_m, wanted, later_ms):
    health = recovering(rate_m=rate_m)
    now_ms = health.changed_ms + later_ms
    while True:
        health, granted, until_ms = admit_calls(health, USUAL, 0, now_ms, wanted)
        if granted == wanted:
            return
        assert admit_calls(health, USUAL, 0, until_ms, 1)[1] == 1
        wanted -= granted
        now_ms = until_ms


class Workers(RuleBasedStateMachine):
    """Several workers share the health of one account; each knows which probe it has under way."""

    def __init__(self):
        super().__init__()
        self.standing = AccountHealth()
        self.now_ms = T0
        self.probes = {}

    @rule(passed_ms=st.sampled_from([0, 1, 500, 1_000, 5_000, 20_000, 60_000]))
    def time_goes_by(self, passed_ms):
        self.now_ms += passed_ms

    @rule(worker=st.integers(0, 3), wanted=st.integers(0, 200))
    def somebody_asks(self, worker, wanted):
        before = self.standing
        self.standing, granted, until_ms = admit_calls(before, USUAL, 0, self.now_ms, wanted)
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
            self.standing = return_probe(before, 0, self.now_ms, probe)
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
    health, waiting, taken, probes = AccountHealth(), 0, [], 0
    for tick in range((60 + seconds_down + 900) * 10):
        now_ms, ends = T0 + tick * 100, (60 + seconds_down) * 10
        coming = rate // 10 + (chance.random() < rate % 10 / 10)
        waiting += coming if tick < 600 or tick >= ends else coming // 2
        health, granted, _ = admit_calls(health, USUAL, 0, now_ms, waiting)
        well = tick < 600 or tick >= ends
        if granted:
            probe = health.until_ms if health.state == "half_open" else 0
            probes += bool(probe)
            health = report_calls(health, now_ms, granted, 0 if well else granted, probe=probe)
        waiting -= granted if well else 0
        taken.append(granted if well else 0)
    return health, waiting, taken, probes


@pytest.mark.parametrize("rate", [20, 200])
def test_after_ten_minutes_down_all_is_sent_within_a_quarter_of_an_hour_without_a_spike(rate):
    health, waiting, taken, probes = outage(rate, 600, random.Random(rate))
    assert (health.state, waiting) == ("closed", 0)
    assert probes <= 15
    for span in (10, 100, 600):
        assert max(sum(taken[at : at + span]) for at in range(6_600, 15_600 - span, 10)) <= 1.5 * rate * span / 10
