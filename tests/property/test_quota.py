"""Quotas: for any requests from any number of processes, exactly as many are granted as a bucket allows."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from clarion.accept.quota import LocalBucket
from clarion.accept.rules.quota import draw, fitting
from clarion.domain.bucket import THOUSAND, Bucket, settled, wait_ms
from clarion.domain.limits_processes import QUOTA_CLOCK_STEP_MS
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName

NAME = BucketName("acme", "", "any")
PROCESSES = 3
DAY_LEFT_MS = 1_000_000

BUCKETS = st.builds(
    Bucket, st.integers(1, 60) | st.integers(1, 5_000), st.integers(1, 50) | st.integers(1, 5_000), st.just(0)
)
TOTALS = st.builds(Bucket, st.integers(1, 20_000), st.just(0), st.just(7))


class Ask(NamedTuple):
    """One request: how long after the one before, to which process, for how many events."""

    after_ms: int
    process: int
    cost: int


ASKS = st.lists(
    st.builds(Ask, st.integers(0, 3) | st.integers(0, 2_000), st.integers(0, PROCESSES - 1), st.integers(1, 8)),
    max_size=60,
)


class Installation:
    """Processes with reservations of their own over one shared bucket, each of which works as the gate does."""

    def __init__(self, *buckets: Bucket) -> None:
        self.buckets = buckets
        self.shared = [Usage() for _ in buckets]
        self.taps = [[LocalBucket(NAME, bucket) for bucket in buckets] for _ in range(PROCESSES)]

    def ask(self, process: int, costs: list[int], now_ms: int) -> list[bool]:
        for tap in self.taps[process]:
            tap.settle(now_ms)
        held = [tap.hold_m for tap in self.taps[process]]
        amount_m = THOUSAND * sum(costs)
        if min(held) >= amount_m:
            granted, left = [True] * len(costs), [hold_m - amount_m for hold_m in held]
        else:
            granted, self.shared, left = draw(costs, self.buckets, self.shared, held, now_ms)
        for tap, hold_m in zip(self.taps[process], left, strict=True):
            tap.hold_m = hold_m
        return granted


def run(installation: Installation, asks: list[Ask]) -> list[tuple[int, int]]:
    """Return the granted requests as (time, number of events)."""
    now_ms, through = 1_000_000, []
    for ask in asks:
        now_ms += ask.after_ms
        if installation.ask(ask.process, [ask.cost], now_ms) == [True]:
            through.append((now_ms, ask.cost))
    return through


@given(BUCKETS, ASKS)
def test_never_more_than_the_burst_and_the_rate_in_any_interval(bucket, asks):
    through = run(Installation(bucket), asks)
    for first, (begin_ms, _) in enumerate(through):
        events = 0
        for end_ms, cost in through[first:]:
            events += cost
            assert events * THOUSAND <= bucket.capacity * THOUSAND + bucket.rate_per_s * (end_ms - begin_ms)


@given(TOTALS, ASKS)
def test_a_daily_total_is_never_exceeded_and_starts_afresh_the_next_day(total, asks):
    installation = Installation(total)
    assert sum(cost for _, cost in run(installation, asks)) <= total.capacity
    tomorrow = total._replace(period=total.period + 1)
    new_day = draw([tomorrow.capacity, 1], [tomorrow], installation.shared, [0], 9_000_000)
    assert new_day.granted == [True, False]
    late = draw([1], [total], new_day.usages, [0], 9_000_000)
    assert late.granted == [False], "for a process at which it is not midnight yet"


@given(BUCKETS, ASKS)
def test_one_process_lets_through_all_that_a_bucket_allows(bucket, asks):
    """Reserving ahead costs a single process no grants, compared with a bucket that is asked each time."""
    installation = Installation(bucket)
    now_ms, plain = 1_000_000, Usage()
    for ask in asks:
        now_ms += ask.after_ms
        plain = settled(bucket, plain, now_ms)
        granted = installation.ask(0, [ask.cost], now_ms) == [True]
        if granted:
            plain = plain._replace(used_m=plain.used_m + ask.cost * THOUSAND)
        assert plain.used_m <= bucket.capacity * THOUSAND
        # Part of a reserved quarter of the bucket may have leaked; the rest is free for any request.
        assert granted or plain.used_m + ask.cost * THOUSAND > bucket.capacity * THOUSAND * 3 // 4


@given(BUCKETS, st.integers(0, 70), st.integers(0, 100_000_000))
def test_a_batch_of_n_is_n_single_ones(bucket, number, used_m):
    usage = Usage(min(used_m, bucket.capacity * THOUSAND), 500)
    together, one_by_one = Installation(bucket), Installation(bucket)
    together.shared, one_by_one.shared = [usage], [usage]
    assert together.ask(0, [1] * number, 900) == [one_by_one.ask(0, [1], 900)[0] for _ in range(number)]


@given(BUCKETS, st.lists(st.integers(1, 9), max_size=20), st.integers(0, 20_000), st.integers(0, 20_000))
def test_less_usage_or_a_longer_wait_grants_no_less(bucket, costs, one, other):
    less, more = sorted((one, other))
    amounts = [
        sum(cost for cost, ok in zip(costs, draw(costs, [bucket], [usage], [0], now_ms).granted, strict=True) if ok)
        for usage, now_ms in [(Usage(more, 0), 5), (Usage(less, 0), 5), (Usage(less, 0), 5 + more)]
    ]
    if len(set(costs)) <= 1:  # with costs that differ, a large one that fits may keep out more small ones
        assert amounts == sorted(amounts)
    total = THOUSAND * amounts[0]
    assert total <= bucket.capacity * THOUSAND


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(0, 60_000))
def test_what_is_granted_fits_and_what_is_not_did_not(costs, open_m):
    for cost, fits in zip(costs, fitting(costs, open_m), strict=True):
        assert fits == (cost * THOUSAND <= open_m)
        open_m -= cost * THOUSAND if fits else 0
    assert open_m >= 0


@given(BUCKETS, st.integers(0, 10_000_000), st.integers(1, 60))
def test_after_the_wait_it_fits_and_a_millisecond_earlier_it_does_not(bucket, used_m, cost):
    cost, used_m = min(cost, bucket.capacity), min(used_m, bucket.capacity * THOUSAND)
    after_ms = wait_ms(bucket, bucket.capacity * THOUSAND - used_m, cost, DAY_LEFT_MS)
    fits = draw([cost], [bucket], [Usage(used_m, 0)], [0], after_ms).granted[0]
    assert fits
    if after_ms:
        assert not draw([cost], [bucket], [Usage(used_m, 0)], [0], after_ms - 1).granted[0]


@given(BUCKETS, TOTALS, st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_all_buckets_give_or_none_does(bucket, total, costs):
    drawn = draw(costs, [bucket, total], [Usage(), Usage()], [0, 0], 5)
    amount_m = THOUSAND * sum(cost for cost, ok in zip(costs, drawn.granted, strict=True) if ok)
    for usage, hold_m in zip(drawn.usages, drawn.holds_m, strict=True):
        assert usage.used_m - hold_m == amount_m
        assert hold_m >= 0


@given(BUCKETS, st.integers(0, 10_000_000), st.integers(0, 10_000_000))
def test_a_clock_that_went_back_neither_sticks_nor_gives_anything_away(bucket, used_m, back_ms):
    now_ms = 20_000_000
    usage = settled(bucket, Usage(used_m, now_ms + back_ms), now_ms)
    # More than full, as a larger quota left it, may count as full at once.
    assert min(used_m, bucket.capacity * THOUSAND) <= usage.used_m <= used_m
    assert usage.at_ms - now_ms <= QUOTA_CLOCK_STEP_MS
    later = settled(bucket, usage, now_ms + QUOTA_CLOCK_STEP_MS + used_m)
    assert later.used_m == 0, "all usage has leaked by then"
