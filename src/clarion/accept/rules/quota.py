"""Drawing from leaky buckets (`domain/bucket.py`) at intake.

Processes share buckets, but a process need not ask the shared count for each event: it may take some ahead and *hold*
them. A hold leaks as fast as its bucket does. So a bucket is always at least as full as the sum of its holds, and all
processes together let through no more than `capacity + rate * t` events in any time `t`, as a single process would.
"""

from collections.abc import Sequence
from typing import NamedTuple

from clarion.domain.bucket import THOUSAND, Bucket, room_m, settled
from clarion.domain.limits_processes import QUOTA_DAILY_AHEAD_MAX
from clarion.domain.quota import Usage


class QuotaDraw(NamedTuple):
    """The result of a draw: which costs are granted, and the new usage and hold of each bucket."""

    granted: list[bool]
    usages: list[Usage]
    holds_m: list[int]


def fitting(costs: Sequence[int], open_m: int) -> list[bool]:
    """Return which costs, in order, fit into the open amount; one that does not fit is skipped."""
    granted = []
    for cost in costs:
        fits = cost * THOUSAND <= open_m
        granted.append(fits)
        if fits:
            open_m -= cost * THOUSAND
    return granted


def draw(
    costs: Sequence[int], buckets: Sequence[Bucket], usages: Sequence[Usage], holds_m: Sequence[int], now_ms: int
) -> QuotaDraw:
    """Return the draw that grants the costs that fit into every bucket. They are taken from the holds first, then from
    the buckets, along with some events ahead."""
    now = [settled(bucket, usage, now_ms) for bucket, usage in zip(buckets, usages, strict=True)]
    open_m = min(
        room_m(bucket, usage.used_m) + hold_m for bucket, usage, hold_m in zip(buckets, now, holds_m, strict=True)
    )
    granted = fitting(costs, open_m)
    amount_m = THOUSAND * sum(cost for cost, fits in zip(costs, granted, strict=True) if fits)
    if not amount_m:
        return QuotaDraw(granted, now, list(holds_m))
    paid = [_paid(*each, amount_m) for each in zip(buckets, now, holds_m, strict=True)]
    return QuotaDraw(granted, [usage for usage, _ in paid], [hold_m for _, hold_m in paid])


def _paid(bucket: Bucket, usage: Usage, hold_m: int, amount_m: int) -> tuple[Usage, int]:
    short_m = max(0, amount_m - hold_m)
    ahead_m = THOUSAND * _ahead(bucket, room_m(bucket, usage.used_m + short_m) // THOUSAND) if short_m else 0
    taken_m = short_m + ahead_m
    return usage._replace(used_m=usage.used_m + taken_m), hold_m + taken_m - amount_m


def _ahead(bucket: Bucket, room: int) -> int:
    """Return the number of events to take ahead. Events that leak from a hold are lost to the caller, so at most a
    tenth of a second's worth is held, and nothing of the last three quarters of a bucket."""
    if not bucket.rate_per_s:
        return min(room // THOUSAND, QUOTA_DAILY_AHEAD_MAX)
    spare = room - bucket.capacity * 3 // 4
    return max(0, min(spare, bucket.capacity // 10, bucket.rate_per_s // 10))
