"""Buckets that leak: at most `capacity` events at once, and `rate_per_s` a second after them.

This is the generic cell rate algorithm in its leaky-bucket form (ITU-T I.371, annex A), in whole numbers: a bucket that
leaks `rate_per_s` events a second leaks as many thousandths of an event a millisecond. A daily total is a bucket that
does not leak and is new each day.

Buckets are shared by processes, but a process need not ask for each event: it may take some ahead and *hold* them. What
is held leaks as fast as the bucket does. So a bucket is always at least as full as all that is held of it together, and
no more than `capacity + rate * t` events are let through in any time `t` by all processes, as if there were only one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from clarion.domain.limits_deciding import QUOTA_CLOCK_STEP_MS, QUOTA_DAILY_AHEAD_MAX
from clarion.domain.quota import Usage

THOUSAND: Final = 1_000
DAY_MS: Final = 24 * 3600 * 1000


class Bucket(NamedTuple):
    """A limit. `rate_per_s` of 0 never leaks; `period` is the day it is for, 0 for good."""

    capacity: int
    rate_per_s: int = 0
    period: int = 0


class Drawn(NamedTuple):
    """What became of a draw: which costs are granted, and the usage of each bucket and what is held of it afterwards."""

    granted: list[bool]
    usages: list[Usage]
    holds_m: list[int]


def leaked(bucket: Bucket, amount_m: int, passed_ms: int) -> int:
    """Return what is left of a usage or a hold after some time."""
    return max(0, amount_m - passed_ms * bucket.rate_per_s)


def settled(bucket: Bucket, usage: Usage, now_ms: int) -> Usage:
    """Return usage as of now."""
    # A day ahead of ours is one that another process saw begin a moment before us.
    if not 0 <= usage.period - bucket.period <= 1:
        return Usage(0, now_ms, bucket.period)
    passed_ms = now_ms - usage.at_ms
    if passed_ms < 0:
        # Another process read the clock a moment later. Far ahead, it is the clock of before a restart of the machine.
        return usage if passed_ms >= -QUOTA_CLOCK_STEP_MS else usage._replace(at_ms=now_ms)
    used_m = usage.used_m
    if bucket.rate_per_s:
        # More than full is what a larger quota left behind; nobody should wait until that has leaked at a lower rate.
        used_m = min(used_m, bucket.capacity * THOUSAND)
    return Usage(leaked(bucket, used_m, passed_ms), now_ms, usage.period)


def room_m(bucket: Bucket, used_m: int) -> int:
    """Return how much fits into a bucket besides what is used, in thousandths of an event."""
    return max(0, bucket.capacity * THOUSAND - used_m)


def fitting(costs: Sequence[int], open_m: int) -> list[bool]:
    """Return which costs, one after the other, fit into what is open; one that does not is passed over."""
    granted = []
    for cost in costs:
        fits = cost * THOUSAND <= open_m
        granted.append(fits)
        if fits:
            open_m -= cost * THOUSAND
    return granted


def draw(
    costs: Sequence[int], buckets: Sequence[Bucket], usages: Sequence[Usage], holds_m: Sequence[int], now_ms: int
) -> Drawn:
    """Grant costs that fit into every bucket and take them from all of them, what is held now first, and some ahead."""
    now = [settled(bucket, usage, now_ms) for bucket, usage in zip(buckets, usages, strict=True)]
    open_m = min(
        room_m(bucket, usage.used_m) + hold_m for bucket, usage, hold_m in zip(buckets, now, holds_m, strict=True)
    )
    granted = fitting(costs, open_m)
    amount_m = THOUSAND * sum(cost for cost, fits in zip(costs, granted, strict=True) if fits)
    if not amount_m:
        return Drawn(granted, now, list(holds_m))
    paid = [_paid(*each, amount_m) for each in zip(buckets, now, holds_m, strict=True)]
    return Drawn(granted, [usage for usage, _ in paid], [hold_m for _, hold_m in paid])


def wait_ms(bucket: Bucket, open_m: int, cost: int, day_left_ms: int) -> int:
    """Return in how long a cost fits at the earliest, when `open_m` is open now; 0 when it fits."""
    missing_m = cost * THOUSAND - open_m
    if missing_m <= 0:
        return 0
    return -(-missing_m // bucket.rate_per_s) if bucket.rate_per_s else day_left_ms


def _paid(bucket: Bucket, usage: Usage, hold_m: int, amount_m: int) -> tuple[Usage, int]:
    short_m = max(0, amount_m - hold_m)
    ahead_m = THOUSAND * _ahead(bucket, room_m(bucket, usage.used_m + short_m) // THOUSAND) if short_m else 0
    taken_m = short_m + ahead_m
    return usage._replace(used_m=usage.used_m + taken_m), hold_m + taken_m - amount_m


def _ahead(bucket: Bucket, room: int) -> int:
    """Return how many events to take ahead. What leaks from a hold is lost for the caller, so only up to a tenth of a
    second's worth is held, and of the last three quarters of a bucket nothing."""
    if not bucket.rate_per_s:
        return min(room // THOUSAND, QUOTA_DAILY_AHEAD_MAX)
    spare = room - bucket.capacity * 3 // 4
    return max(0, min(spare, bucket.capacity // 10, bucket.rate_per_s // 10))
