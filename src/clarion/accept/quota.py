"""What a quota says to a caller: whether what is held pays, why not, and how the quota stands."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from clarion.accept.quota_meter import DAILY, RATE, Meter, Tap
from clarion.domain.bucket import DAY_MS, THOUSAND, wait_ms
from clarion.domain.errors import CallerError, QuotaExceeded, QuotaStanding, TooLarge
from clarion.domain.quota import TENANT

AUDIENCE: Final = "audience"
_CODES: Final = {RATE: "quota_exceeded", DAILY: "daily_quota_exceeded", AUDIENCE: "audience_too_large"}
_KINDS: Final = {code: kind for kind, code in _CODES.items()}


def paid_from_hold(taps: Sequence[Tap], costs: Sequence[int]) -> list[bool] | None:
    """Return which costs are granted, taking them from what is held of each bucket; None where only the count that all
    processes share can tell."""
    amount_m = THOUSAND * sum(costs)
    if all(tap.hold_m >= amount_m for tap in taps):
        for tap in taps:
            tap.hold_m -= amount_m
        return [True] * len(costs)
    if min(tap.open_m() for tap in taps) < THOUSAND * min(costs):
        return [False] * len(costs)
    return None


def refusals_of(
    meter: Meter, costs: Sequence[int], granted: Sequence[bool], size_max: int, wall_ms: int
) -> list[CallerError | None]:
    """Return of each cost why it is refused, or None. `granted` is of those that are not above `size_max`."""
    left = iter(granted)
    refusals: list[CallerError | None] = []
    for cost in costs:
        if cost > size_max:
            refusals.append(too_large(cost, size_max, "to"))
        else:
            refusals.append(None if next(left) else _used_up(meter, cost, wall_ms))
    return refusals


def refused_events(costs: Sequence[int], refusals: Sequence[CallerError | None]) -> Counter[str]:
    """Return how many events were refused, by kind of quota."""
    refused: Counter[str] = Counter()
    for cost, refusal in zip(costs, refusals, strict=True):
        if refusal is not None:
            refused[_KINDS[refusal.code]] += cost
    return refused


def standing_of(meter: Meter, wall_ms: int) -> QuotaStanding | None:
    """Return how the bucket with the least room stands, None without one."""
    return _standing(min(meter.taps, key=Tap.open_m), wall_ms) if meter.taps else None


def too_large(users: int, most: int, field: str) -> TooLarge:
    """Return why so many recipients never fit."""
    detail = f"{users} recipients are more than the {most} that the quota allows at once"
    return TooLarge(detail, field=field, code=_CODES[AUDIENCE])


def _standing(tap: Tap, wall_ms: int) -> QuotaStanding:
    capacity, open_m = tap.bucket.capacity, tap.open_m()
    reset_ms = wait_ms(tap.bucket, open_m, capacity, DAY_MS - wall_ms % DAY_MS)
    return QuotaStanding(capacity, open_m // THOUSAND, _seconds(reset_ms))


def _used_up(meter: Meter, cost: int, wall_ms: int) -> QuotaExceeded:
    waits_ms = [wait_ms(tap.bucket, tap.open_m(), cost, DAY_MS - wall_ms % DAY_MS) for tap in meter.taps]
    after_ms = max(waits_ms)
    tap = meter.taps[waits_ms.index(after_ms)]
    bucket, room = tap.bucket, tap.open_m() // THOUSAND
    whose = "tenant" if tap.name.key_id == TENANT else "key"
    limit = (
        f"{bucket.rate_per_s} a second, {bucket.capacity} at once" if bucket.rate_per_s else f"{bucket.capacity} a day"
    )
    return QuotaExceeded(
        f"the quota of this {whose} is {limit}: there is room for {room} now, not for {cost}",
        code=_CODES[tap.name.kind],
        retry_after_s=max(1, _seconds(after_ms)),
        standing=_standing(tap, wall_ms),
    )


def _seconds(time_ms: int) -> int:
    return -(-time_ms // THOUSAND)
