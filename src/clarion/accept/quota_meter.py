"""What one caller is measured by: the buckets of its key and of its tenant, as this process sees them."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from clarion.domain.bucket import Bucket, leaked, room_m
from clarion.domain.errors import ClarionError
from clarion.domain.limits_deciding import QUOTA_METERS_MAX
from clarion.domain.quota import TENANT, Quota, Usage
from clarion.ports.quotas import BucketName
from clarion.ports.versioned import Versioned
from clarion.ports.web import Caller

RATE: Final = "rate"
DAILY: Final = "daily"


class Tap:
    """A bucket as this process sees it: what it holds, and the usage that it saw last. `known` is that usage as stored; at
    first it is a guess that nobody has used any."""

    __slots__ = ("_at_ms", "bucket", "hold_m", "known", "name", "used_m")

    def __init__(self, name: BucketName, bucket: Bucket) -> None:
        self.name = name
        self.bucket = bucket
        self.hold_m = self.used_m = self._at_ms = 0
        self.known = Versioned(Usage(), 0)

    def settle(self, now_ms: int) -> None:
        """Let leak what leaked until now."""
        if now_ms > self._at_ms:
            passed_ms, self._at_ms = now_ms - self._at_ms, now_ms
            self.hold_m = leaked(self.bucket, self.hold_m, passed_ms)
            self.used_m = leaked(self.bucket, self.used_m, passed_ms)

    def learn(self, known: Versioned[Usage], hold_m: int, at_ms: int) -> None:
        """Take what was stored, and what is held of it, as of a time that may have passed by now."""
        self.known, self.used_m, self.hold_m, self._at_ms = known, known.value.used_m, hold_m, at_ms

    def open_m(self) -> int:
        """Return how many thousandths of an event fit, if no other process took any since this one looked."""
        return self.hold_m + room_m(self.bucket, self.used_m)


class Waiting:
    """A request that waits for its turn at the shared count: the events of its items, and which are granted in the end."""

    __slots__ = ("costs", "failure", "granted")

    def __init__(self, costs: list[int]) -> None:
        self.costs = costs
        self.granted: list[bool] | None = None
        self.failure: ClarionError | None = None

    @property
    def is_done(self) -> bool:
        """Whether somebody had the turn for it."""
        return self.granted is not None or self.failure is not None

    def outcome(self) -> list[bool]:
        """Return what is granted. Raises what made the shared count fail."""
        if self.failure is not None:
            raise self.failure
        return self.granted or []


class Meter(NamedTuple):
    """What a caller is measured by on one day. `size_max` is what fits at once at all; None is no limit. `waiting` are
    requests that ask the shared count next."""

    quotas: tuple[Quota | None, Quota | None]
    day: int
    taps: list[Tap]
    audience_max: int | None
    size_max: int | None
    waiting: list[Waiting]


class Meters:
    """The meters of callers with a quota, made when first needed and again when the quota or the day is another one.
    Callers of one tenant share the taps of its buckets."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str], Meter] = {}
        self._taps: dict[BucketName, Tap] = {}

    def of(self, caller: Caller, quotas: tuple[Quota | None, Quota | None], day: int) -> Meter:
        """Return the meter for the quotas of the caller's key and tenant."""
        who = (caller.tenant, caller.key_id)
        meter = self._meters.get(who)
        if meter is None or meter.day != day or meter.quotas != quotas:
            if len(self._meters) >= QUOTA_METERS_MAX:
                self._meters.clear()
                self._taps.clear()
            meter = self._meters[who] = self._made(caller, quotas, day)
        return meter

    def at_hand(self, caller: Caller) -> Meter | None:
        """Return the meter that was made last for a caller."""
        return self._meters.get((caller.tenant, caller.key_id))

    def _made(self, caller: Caller, quotas: tuple[Quota | None, Quota | None], day: int) -> Meter:
        owners = [(owner, quota) for owner, quota in zip((caller.key_id, TENANT), quotas, strict=True) if quota]
        taps = [
            self._tap(BucketName(caller.tenant, owner, kind), bucket)
            for owner, quota in owners
            for kind, bucket in _buckets(quota, day)
        ]
        audiences = [quota.audience_max for _, quota in owners if quota.audience_max is not None]
        sizes = [*audiences, *(tap.bucket.capacity for tap in taps)]
        return Meter(quotas, day, taps, min(audiences, default=None), min(sizes, default=None), [])

    def _tap(self, name: BucketName, bucket: Bucket) -> Tap:
        tap = self._taps.get(name)
        if tap is None or tap.bucket != bucket:
            tap = self._taps[name] = Tap(name, bucket)
        return tap


def _buckets(quota: Quota, day: int) -> Iterator[tuple[str, Bucket]]:
    if quota.rate_per_s is not None:
        yield RATE, Bucket(quota.burst or quota.rate_per_s, quota.rate_per_s)
    if quota.daily is not None:
        yield DAILY, Bucket(quota.daily, period=day)
