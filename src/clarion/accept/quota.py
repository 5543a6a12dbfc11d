"""The part that one process holds of shared buckets: the events that can be granted at once, the refusals, and the status of
the quota."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from clarion.domain.bucket import DAY_MS, THOUSAND, Bucket, leaked, room_m, wait_ms
from clarion.domain.errors import CallerError, QuotaExceeded, QuotaStatus, TooLarge
from clarion.domain.quota import TENANT, Usage
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import Versioned

RATE: Final = "rate"
DAILY: Final = "daily"
AUDIENCE: Final = "audience"
_CODES: Final = {RATE: "quota_exceeded", DAILY: "daily_quota_exceeded", AUDIENCE: "audience_too_large"}
_KINDS: Final = {code: kind for kind, code in _CODES.items()}


class LocalBucket:
    """A bucket as this process sees it: its hold, and the usage last read. `known` is that usage as stored; before the
    first read it is a guess that nothing has been used."""

    __slots__ = ("_at_ms", "bucket", "hold_m", "known", "name", "used_m")

    def __init__(self, name: BucketName, bucket: Bucket) -> None:
        self.name = name
        self.bucket = bucket
        self.hold_m = self.used_m = self._at_ms = 0
        self.known = Versioned(Usage(), 0)

    def settle(self, now_ms: int) -> None:
        """Apply the leak up to now to the hold and the usage."""
        if now_ms > self._at_ms:
            passed_ms, self._at_ms = now_ms - self._at_ms, now_ms
            self.hold_m = leaked(self.bucket, self.hold_m, passed_ms)
            self.used_m = leaked(self.bucket, self.used_m, passed_ms)

    def update(self, known: Versioned[Usage], hold_m: int, at_ms: int) -> None:
        """Set the stored usage and the hold, as of a time that may be past."""
        self.known, self.used_m, self.hold_m, self._at_ms = known, known.value.used_m, hold_m, at_ms

    def open_m(self) -> int:
        """Return the number of thousandths of an event that fit if no other process has taken any since the last
        read."""
        return self.hold_m + room_m(self.bucket, self.used_m)


def grant_from_hold(local_buckets: Sequence[LocalBucket], costs: Sequence[int]) -> list[bool] | None:
    """Return which costs are granted, taking them from the hold of each bucket; None where the count that all processes
    share must decide."""
    amount_m = THOUSAND * sum(costs)
    if all(local_bucket.hold_m >= amount_m for local_bucket in local_buckets):
        for local_bucket in local_buckets:
            local_bucket.hold_m -= amount_m
        return [True] * len(costs)
    if min(local_bucket.open_m() for local_bucket in local_buckets) < THOUSAND * min(costs):
        return [False] * len(costs)
    return None


def refusals_of(
    local_buckets: Sequence[LocalBucket], costs: Sequence[int], granted: Sequence[bool], size_max: int, wall_ms: int
) -> list[CallerError | None]:
    """Return each cost's refusal, or None. `granted` holds the verdicts on the costs that are not above `size_max`."""
    left = iter(granted)
    refusals: list[CallerError | None] = []
    for cost in costs:
        if cost > size_max:
            refusals.append(too_large(cost, size_max, "to"))
        else:
            refusals.append(None if next(left) else _quota_exceeded(local_buckets, cost, wall_ms))
    return refusals


def refused_events(costs: Sequence[int], refusals: Sequence[CallerError | None]) -> Counter[str]:
    """Return the number of refused events by kind of quota."""
    refused: Counter[str] = Counter()
    for cost, refusal in zip(costs, refusals, strict=True):
        if refusal is not None:
            refused[_KINDS[refusal.code]] += cost
    return refused


def quota_status(local_buckets: Sequence[LocalBucket], wall_ms: int) -> QuotaStatus | None:
    """Return the state of the bucket with the least room, None without buckets."""
    return _bucket_status(min(local_buckets, key=LocalBucket.open_m), wall_ms) if local_buckets else None


def too_large(users: int, most: int, field: str) -> TooLarge:
    """Return the refusal of a number of recipients that the quota never allows."""
    detail = f"{users} recipients are more than the {most} that the quota allows at once"
    return TooLarge(detail, field=field, code=_CODES[AUDIENCE])


def _bucket_status(local_bucket: LocalBucket, wall_ms: int) -> QuotaStatus:
    capacity, open_m = local_bucket.bucket.capacity, local_bucket.open_m()
    reset_ms = wait_ms(local_bucket.bucket, open_m, capacity, DAY_MS - wall_ms % DAY_MS)
    rate_per_s = local_bucket.bucket.rate_per_s
    window_s = -(-capacity // rate_per_s) if rate_per_s else DAY_MS // THOUSAND
    return QuotaStatus(capacity, open_m // THOUSAND, _seconds(reset_ms), window_s)


def _quota_exceeded(local_buckets: Sequence[LocalBucket], cost: int, wall_ms: int) -> QuotaExceeded:
    waits_ms = [
        wait_ms(local_bucket.bucket, local_bucket.open_m(), cost, DAY_MS - wall_ms % DAY_MS)
        for local_bucket in local_buckets
    ]
    after_ms = max(waits_ms)
    local_bucket = local_buckets[waits_ms.index(after_ms)]
    bucket, room = local_bucket.bucket, local_bucket.open_m() // THOUSAND
    owner = "tenant" if local_bucket.name.key_id == TENANT else "key"
    limit = (
        f"{bucket.rate_per_s} a second, {bucket.capacity} at once" if bucket.rate_per_s else f"{bucket.capacity} a day"
    )
    retry_after_s = max(1, _seconds(after_ms))
    return QuotaExceeded(
        f"the quota of this {owner} is {limit}: there is room for {room} now, not for {cost}",
        code=_CODES[local_bucket.name.kind],
        retry_after_s=retry_after_s,
        quota_status=_bucket_status(local_bucket, wall_ms)._replace(reset_s=retry_after_s),
    )


def _seconds(time_ms: int) -> int:
    return -(-time_ms // THOUSAND)
