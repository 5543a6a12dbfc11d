"""Leaky buckets: at most `capacity` events at once, and `rate_per_s` a second after them.

This is the generic cell rate algorithm in its leaky-bucket form (ITU-T I.371, annex A), in whole numbers: a bucket that
leaks `rate_per_s` events a second leaks as many thousandths of an event a millisecond. A daily total is a bucket that
does not leak and is new each day.
"""

from typing import Final, NamedTuple

from clarion.domain.limits_processes import QUOTA_CLOCK_STEP_MS
from clarion.domain.quota import Usage

THOUSAND: Final = 1_000
DAY_MS: Final = 24 * 3600 * 1000


class Bucket(NamedTuple):
    """A limit. `rate_per_s` of 0 never leaks; `period` is the day it applies to, 0 when it applies always."""

    capacity: int
    rate_per_s: int = 0
    period: int = 0


def leaked(bucket: Bucket, amount_m: int, passed_ms: int) -> int:
    """Return the rest of a usage or a hold after `passed_ms`."""
    return max(0, amount_m - passed_ms * bucket.rate_per_s)


def settled(bucket: Bucket, usage: Usage, now_ms: int) -> Usage:
    """Return the usage at `now_ms`."""
    # A later day was stored by another process, which saw it begin a moment earlier.
    if not 0 <= usage.period - bucket.period <= 1:
        return Usage(0, now_ms, bucket.period)
    passed_ms = now_ms - usage.at_ms
    if passed_ms < 0:
        # A time a little ahead was read by another process a moment later. One far ahead is from before a restart of
        # the machine.
        return usage if passed_ms >= -QUOTA_CLOCK_STEP_MS else usage._replace(at_ms=now_ms)
    used_m = usage.used_m
    if bucket.rate_per_s:
        # A level above capacity remains from a larger quota; no request should wait until it has leaked at a lower
        # rate.
        used_m = min(used_m, bucket.capacity * THOUSAND)
    return Usage(leaked(bucket, used_m, passed_ms), now_ms, usage.period)


def room_m(bucket: Bucket, used_m: int) -> int:
    """Return the free room of a bucket in thousandths of an event."""
    return max(0, bucket.capacity * THOUSAND - used_m)


def wait_ms(bucket: Bucket, open_m: int, cost: int, day_left_ms: int) -> int:
    """Return the milliseconds until a cost fits at the earliest, given `open_m` of free room now; 0 when it fits."""
    missing_m = cost * THOUSAND - open_m
    if missing_m <= 0:
        return 0
    return -(-missing_m // bucket.rate_per_s) if bucket.rate_per_s else day_left_ms
