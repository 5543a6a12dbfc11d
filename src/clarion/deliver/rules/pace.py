"""How much of an account's limits a batch of deliveries gets, and when the rest may try again.

`per_second` is a leaky bucket, with half a second's worth at once; workers take some ahead, and their holdings leak as
fast as the bucket does, so all together they never let more through than one worker would. `per_day` is a bucket that
is new each day. Both are those of `domain/bucket.py`. The other limits are counted here:

- Calls under way are counted in rows, one for each span of time, as of the last report of their worker. A row that is
  too old is not counted any more, which frees the calls of a dead worker, however many workers there are. A worker that
  gets none is given a turn: a share is reserved for it until it asks again.
- A recipient's row says when the next message may be sent to it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from clarion.deliver.rules.pace_calls import CALLS, Calls, calls_open, calls_taken
from clarion.domain.bucket import THOUSAND, Bucket, room_m, settled
from clarion.domain.channel import Lane
from clarion.domain.limits_delivery import (
    PACE_AHEAD_MS,
    PACE_BURST_MS,
    PACE_DAY_AHEAD_DIVISOR,
    PACE_DAY_AHEAD_MAX,
    PACE_PROMISED_SHARE,
    PACE_URGENT_SHARE,
    PARK_MS_MAX,
)
from clarion.domain.quota import Usage
from clarion.domain.resilience import Limits

RATE: Final = "per_second"
DAILY: Final = "per_day"
CONCURRENT: Final = "concurrent"
RECIPIENT: Final = "recipient_interval_ms"
URGENT: Final = frozenset({Lane.CRITICAL, Lane.HIGH})
_ENDLESS: Final = 1 << 62


class Holds(NamedTuple):
    """One worker's share of an account: of `per_second` (in thousandths, leaking), messages of the day, and calls."""

    rate_m: int = 0
    day: int = 0
    calls: Calls = Calls()


class DrawRequest(NamedTuple):
    """A batch of one lane class. `recipients` are indexes of deliveries into the times at which recipients are free,
    empty without `recipient_interval_ms`. `fresh` says which deliveries come for the first time while earlier ones have
    promised times; empty, none does. `day` counts from 1970, `worker` distinguishes workers."""

    limits: Limits
    number: int
    urgent: bool
    worker: int
    day: int
    recipients: Sequence[int] = ()
    fresh: Sequence[bool] = ()


class OverLimit(NamedTuple):
    """The limit that defers a delivery; for `RECIPIENT`, until when, on the monotonic clock."""

    limit: str
    free_ms: int = 0


class Draw(NamedTuple):
    """The result for a batch: per delivery None or the exceeded limit; the shared usages and the worker's holdings
    after it; when recipients are free; how much of the rate is open now."""

    over: list[OverLimit | None]
    usages: dict[str, Usage]
    holds: Holds
    free_times: list[int]
    open_m: int


class _Open(NamedTuple):
    rate_m: int
    day: int
    calls: int


def kinds_of(limits: Limits) -> tuple[str, ...]:
    """Return the kinds of buckets that an account's limits need."""
    kinds: tuple[str, ...] = ()
    if limits.per_second is not None:
        kinds += (RATE,)
    if limits.per_day is not None:
        kinds += (DAILY,)
    return kinds if limits.concurrent is None else (*kinds, *CALLS)


def rate_bucket(per_second: int) -> Bucket:
    """Return the bucket of a rate."""
    return Bucket(max(1, per_second * PACE_BURST_MS // 1000), per_second)


def reserved_m(bucket: Bucket, urgent: bool, fresh: bool) -> int:
    """Return the amount of a bucket that a delivery has to leave to other deliveries, in thousandths; always less than
    the whole bucket, so that something can be sent."""
    share = max(0.0 if urgent else PACE_URGENT_SHARE, PACE_PROMISED_SHARE if fresh else 0.0)
    return min(int(bucket.capacity * THOUSAND * share), (bucket.capacity - 1) * THOUSAND)


def draw(ask: DrawRequest, holds: Holds, usages: Mapping[str, Usage], free_times: Sequence[int], now_ms: int) -> Draw:
    """Return the result for a batch: deliveries that fit into every limit are granted, in the order of the batch, and
    counted in all of them."""
    limits, after = ask.limits, dict(usages)
    rate, day = Bucket(1), Bucket(1)
    rate_left_m = day_left = calls_left = _ENDLESS
    if limits.per_second is not None:
        rate = rate_bucket(limits.per_second)
        after[RATE] = settled(rate, after[RATE], now_ms)
        rate_left_m = holds.rate_m + room_m(rate, after[RATE].used_m)
    if limits.per_day is not None:
        day = Bucket(limits.per_day, period=ask.day)
        after[DAILY] = _day_returned(settled(day, after[DAILY], now_ms), holds.day, ask.day)
        day_left = room_m(day, after[DAILY].used_m) // THOUSAND
    if limits.concurrent is not None:
        calls_left = calls_open(limits.concurrent, holds.calls, after, ask.worker, now_ms)
    late, free_after = _over_limits(ask, rate, _Open(rate_left_m, day_left, calls_left), free_times, now_ms)
    count = late.count(None)
    rate_m, held_day, calls = holds
    if limits.per_second is not None:
        after[RATE], rate_m = _rate_taken(rate, after[RATE], rate_m, count)
        rate_left_m = rate_m + room_m(rate, after[RATE].used_m)
    if limits.per_day is not None:
        held_day = min((day_left - count) // PACE_DAY_AHEAD_DIVISOR, PACE_DAY_AHEAD_MAX)
        after[DAILY] = after[DAILY]._replace(used_m=after[DAILY].used_m + (count + held_day) * THOUSAND)
    if limits.concurrent is not None:
        wanted = sum(cause is not None and cause.limit == CONCURRENT for cause in late)
        calls = calls_taken(limits.concurrent, holds.calls, after, ask.worker, now_ms, wanted=wanted, granted=count)
    return Draw(late, after, Holds(rate_m, held_day, calls), free_after, rate_left_m)


def spread(horizon_ms: float, now_ms: int, first_ms: int, step_ms: float, count: int) -> tuple[list[int], float]:
    """Return when `count` deliveries over a limit may try again, one every `step_ms`, not before `first_ms` from now
    and behind earlier promised times (until `horizon_ms`), and the new horizon. No time lies further ahead than
    `PARK_MS_MAX`; a later one becomes that."""
    end_ms = now_ms + PARK_MS_MAX
    begin_ms = max(horizon_ms, now_ms + max(first_ms, 1))
    times = [min(int(begin_ms + index * step_ms), end_ms) for index in range(count)]
    return times, min(begin_ms + count * step_ms, end_ms)


def _over_limits(
    ask: DrawRequest, rate: Bucket, left: _Open, free_times: Sequence[int], now_ms: int
) -> tuple[list[OverLimit | None], list[int]]:
    """Return for each delivery of a batch, in order, the limit it exceeds or None, and when recipients are free
    then."""
    rate_m, day, calls = left
    after, interval_ms = list(free_times), ask.limits.recipient_interval_ms or 0
    promised: dict[int, int] = {}
    keep_m = [reserved_m(rate, ask.urgent, fresh) for fresh in (False, True)]
    late: list[OverLimit | None] = []
    for index in range(ask.number):
        recipient = ask.recipients[index] if ask.recipients else None
        if recipient is not None and now_ms < after[recipient] <= now_ms + interval_ms:
            # Further messages to the same recipient follow one interval after the other.
            free_ms = promised.get(recipient, after[recipient])
            promised[recipient] = free_ms + interval_ms
            late.append(OverLimit(RECIPIENT, free_ms))
        elif day < 1:
            late.append(OverLimit(DAILY))
        elif calls < 1:
            late.append(OverLimit(CONCURRENT))
        elif rate_m - THOUSAND < keep_m[bool(ask.fresh) and ask.fresh[index]]:
            late.append(OverLimit(RATE))
        else:
            late.append(None)
            rate_m, day, calls = rate_m - THOUSAND, day - 1, calls - 1
            if recipient is not None:
                after[recipient] = now_ms + interval_ms
    return late, after


def _day_returned(usage: Usage, held: int, day: int) -> Usage:
    """Return a day's usage after the worker's holdings of that day are returned."""
    return usage._replace(used_m=max(0, usage.used_m - held * THOUSAND)) if usage.period == day else usage


def _rate_taken(bucket: Bucket, usage: Usage, hold_m: int, count: int) -> tuple[Usage, int]:
    """Return the usage and the holdings after messages were taken from the holdings and then from the bucket; some more
    are taken ahead while the bucket is less than half used."""
    amount_m = count * THOUSAND
    short_m = max(0, amount_m - hold_m)
    if not short_m:
        return usage, hold_m - amount_m
    spare_m = room_m(bucket, usage.used_m + short_m) - bucket.capacity * THOUSAND // 2
    taken_m = short_m + max(0, min(spare_m, bucket.rate_per_s * PACE_AHEAD_MS))
    return usage._replace(used_m=usage.used_m + taken_m), hold_m + taken_m - amount_m
