"""Drawing from buckets that leak (`domain/bucket.py`) at the door.

Buckets are shared by processes, but a process need not ask for each event: it may take some ahead and *hold* them. What
is held leaks as fast as the bucket does. So a bucket is always at least as full as all that is held of it together, and
no more than `capacity + rate * t` events are let through in any time `t` by all processes, as if there were only one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from clarion.domain.bucket import THOUSAND, Bucket, room_m, settled
from clarion.domain.limits_deciding import QUOTA_DAILY_AHEAD_MAX
from clarion.domain.quota import Usage


class Drawn(NamedTuple):
    """What became of a draw: which costs are granted, and the usage of each bucket and what is held of it afterwards."""

    granted: list[bool]
    usages: list[Usage]
    holds_m: list[int]


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
