"""Quotas at intake.

Most requests are charged to the hold of the process. The count that all processes share is read when the hold does not
suffice, unless there is known to be no room: other processes only take, so the usage last read is a lower bound. One
request of a tenant reads at a time, for all that wait with the same key.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from clarion.accept.quota import (
    DAILY,
    RATE,
    LocalBucket,
    grant_from_hold,
    quota_status,
    refusals_of,
    refused_events,
    too_large,
)
from clarion.accept.rules.quota import QuotaDraw, draw
from clarion.domain.bucket import DAY_MS, THOUSAND, Bucket
from clarion.domain.errors import CallerError, ClarionError, QuotaStatus
from clarion.domain.limits_processes import QUOTA_METERS_MAX
from clarion.domain.quota import TENANT, Quota, Usage
from clarion.ports.clock import Clock
from clarion.ports.quotas import BucketName, Quotas
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller
from clarion.runtime.shared_counts import settle

QuotasOf: TypeAlias = Mapping[str, Quota]
"""The quotas of a tenant's keys by key id, and its own under an empty one; gathered once per request."""


class QuotaRequest:
    """A request that waits for its turn at the shared count: the number of events of each item, and which are
    granted."""

    __slots__ = ("costs", "failure", "granted")

    def __init__(self, costs: list[int]) -> None:
        self.costs = costs
        self.granted: list[bool] | None = None
        self.failure: ClarionError | None = None

    @property
    def is_done(self) -> bool:
        """Whether some request's turn has served it."""
        return self.granted is not None or self.failure is not None

    def outcome(self) -> list[bool]:
        """Return which items are granted. Raises the error of the shared count if it failed."""
        if self.failure is not None:
            raise self.failure
        return self.granted or []


class QuotaMeter(NamedTuple):
    """The buckets and limits of a caller on one day. `size_max` is the most that fits at once; None is no limit.
    `queue` holds the requests that the next read of the shared count serves."""

    quotas: tuple[Quota | None, Quota | None]
    day: int
    local_buckets: list[LocalBucket]
    audience_max: int | None
    size_max: int | None
    queue: list[QuotaRequest]


class Meters:
    """The meters of callers with a quota, made when first needed and again when the quota or the day changes. Callers
    of one tenant share the local buckets of the tenant."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str], QuotaMeter] = {}
        self._local_buckets: dict[BucketName, LocalBucket] = {}

    def of(self, caller: Caller, quotas: tuple[Quota | None, Quota | None], day: int) -> QuotaMeter:
        """Return the meter for the quotas of the caller's key and tenant."""
        who = (caller.tenant, caller.actor.id)
        meter = self._meters.get(who)
        if meter is None or meter.day != day or meter.quotas != quotas:
            if len(self._meters) >= QUOTA_METERS_MAX:
                self._meters.clear()
                self._local_buckets.clear()
            meter = self._meters[who] = self._create(caller, quotas, day)
        return meter

    def cached(self, caller: Caller) -> QuotaMeter | None:
        """Return the last meter made for a caller, or None."""
        return self._meters.get((caller.tenant, caller.actor.id))

    def _create(self, caller: Caller, quotas: tuple[Quota | None, Quota | None], day: int) -> QuotaMeter:
        owners = [(owner, quota) for owner, quota in zip((caller.actor.id, TENANT), quotas, strict=True) if quota]
        local_buckets = [
            self._local_bucket(BucketName(caller.tenant, owner, kind), bucket)
            for owner, quota in owners
            for kind, bucket in _buckets(quota, day)
        ]
        audiences = [quota.audience_max for _, quota in owners if quota.audience_max is not None]
        sizes = [*audiences, *(local_bucket.bucket.capacity for local_bucket in local_buckets)]
        return QuotaMeter(quotas, day, local_buckets, min(audiences, default=None), min(sizes, default=None), [])

    def _local_bucket(self, name: BucketName, bucket: Bucket) -> LocalBucket:
        local_bucket = self._local_buckets.get(name)
        if local_bucket is None or local_bucket.bucket != bucket:
            local_bucket = self._local_buckets[name] = LocalBucket(name, bucket)
        return local_bucket


def _buckets(quota: Quota, day: int) -> Iterator[tuple[str, Bucket]]:
    if quota.rate_per_s is not None:
        yield RATE, Bucket(quota.burst or quota.rate_per_s, quota.rate_per_s)
    if quota.daily is not None:
        yield DAILY, Bucket(quota.daily, period=day)


class QuotaGate:
    """Grants or refuses requests by the quotas of the caller's key and tenant. Belongs to one event loop."""

    def __init__(self, store: Quotas, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._meters = Meters()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def charge(self, caller: Caller, quotas: QuotasOf, events: int) -> QuotaStatus | None:
        """Charge events, all or none, and return the new state of the quota, None without one. Raises `QuotaExceeded`,
        `TooLarge` when that many events never fit, and `Overloaded` when the shared count cannot be read."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, quotas, wall_ms)
        if meter is None:
            return None
        (refusal,) = await self._charge(caller.tenant, meter, [events], wall_ms)
        if refusal is not None:
            raise refusal
        return quota_status(meter.local_buckets, wall_ms)

    async def charge_each(self, caller: Caller, quotas: QuotasOf, costs: Sequence[int]) -> list[CallerError | None]:
        """Charge the events of several items, in order, as far as there is room, and return each item's refusal, or
        None. Raises `Overloaded` as `charge` does."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, quotas, wall_ms)
        if meter is None:
            return [None] * len(costs)
        return await self._charge(caller.tenant, meter, costs, wall_ms)

    def status(self, caller: Caller, quotas: QuotasOf) -> QuotaStatus | None:
        """Return the state of the quota that leaves the caller least room, as of its last charge; None without one."""
        meter = self._meters.cached(caller) if quotas else None
        return None if meter is None else quota_status(meter.local_buckets, self._clock.now_ms())

    def refuse_exhausted(self, caller: Caller, quotas: QuotasOf) -> None:
        """Raise `QuotaExceeded` when the quota of a caller has no room for an event, by the count last read. Nothing is
        read, and nothing is charged."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, quotas, wall_ms)
        if meter is None or not meter.local_buckets:
            return
        self._settle(meter.local_buckets)
        if min(local_bucket.open_m() for local_bucket in meter.local_buckets) >= THOUSAND:
            return
        refusals = refusals_of(meter.local_buckets, [1], [False], 1, wall_ms)
        self._count([1], refusals)
        for refusal in filter(None, refusals):
            raise refusal

    def audience_max(self, caller: Caller, quotas: QuotasOf) -> int | None:
        """Return the most recipients that a broadcast of the caller may have; None is no limit."""
        meter = self._meter(caller, quotas, self._clock.now_ms())
        return None if meter is None else meter.audience_max

    def refuse_audience(self, users: int, most: int) -> None:
        """Count the refusal of an audience of at least `users` users, and raise it as `TooLarge`."""
        refusal = too_large(users, most, "audience")
        self._count([1], [refusal])
        raise refusal

    def _meter(self, caller: Caller, quotas: QuotasOf, wall_ms: int) -> QuotaMeter | None:
        if not quotas:
            return None
        return self._meters.of(caller, (quotas.get(caller.actor.id), quotas.get(TENANT)), wall_ms // DAY_MS)

    async def _charge(
        self, tenant: str, meter: QuotaMeter, costs: Sequence[int], wall_ms: int
    ) -> list[CallerError | None]:
        most = meter.size_max
        if most is None:
            return [None] * len(costs)
        granted = await self._take(tenant, meter, [cost for cost in costs if cost <= most])
        refusals = refusals_of(meter.local_buckets, costs, granted, most, wall_ms)
        if any(refusals):
            self._count(costs, refusals)
        return refusals

    async def _take(self, tenant: str, meter: QuotaMeter, costs: list[int]) -> list[bool]:
        if not meter.local_buckets or not costs:
            return [True] * len(costs)
        turn = self._turns.get(tenant)
        if turn is None or not turn.locked():
            self._settle(meter.local_buckets)
            granted = grant_from_hold(meter.local_buckets, costs)
            if granted is not None:
                return granted
        if turn is None:
            turn = self._turns[tenant] = asyncio.Lock()
        own = QuotaRequest(costs)
        meter.queue.append(own)
        try:
            async with turn:
                if not own.is_done:
                    await self._serve(meter, own)
        finally:
            if own in meter.queue:  # cancelled before its turn
                meter.queue.remove(own)
        return own.outcome()

    async def _serve(self, meter: QuotaMeter, leader: QuotaRequest) -> None:
        """Serve all requests that wait for a meter, in order, with one read of the shared count."""
        served = meter.queue[:]
        del meter.queue[:]
        try:
            granted = await self._paid(meter.local_buckets, [cost for one in served for cost in one.costs])
        except ClarionError as error:
            for one in served:
                one.failure = error
            return
        except BaseException:
            meter.queue[:0] = [one for one in served if one is not leader]  # cancelled; the next one leads
            raise
        left = iter(granted)
        for one in served:
            one.granted = [next(left) for _ in one.costs]

    async def _paid(self, local_buckets: list[LocalBucket], costs: list[int]) -> list[bool]:
        self._settle(local_buckets)
        granted = grant_from_hold(local_buckets, costs)
        if granted is not None:
            return granted
        at_ms = 0

        def decide(usages: list[Usage]) -> tuple[list[Usage], QuotaDraw]:
            nonlocal at_ms
            at_ms = self._settle(
                local_buckets
            )  # other requests may have had their turn first, and the hold leaks meanwhile
            drawn = draw(
                costs,
                [local_bucket.bucket for local_bucket in local_buckets],
                usages,
                [local_bucket.hold_m for local_bucket in local_buckets],
                at_ms,
            )
            return drawn.usages, drawn

        names, known = (
            [local_bucket.name for local_bucket in local_buckets],
            [local_bucket.known for local_bucket in local_buckets],
        )
        now, drawn = await settle(self._store, names, decide, self._clock, known)
        for local_bucket, usage, hold_m in zip(local_buckets, now, drawn.holds_m, strict=True):
            local_bucket.update(usage, hold_m, at_ms)
        return drawn.granted

    def _settle(self, local_buckets: list[LocalBucket]) -> int:
        now_ms = self._clock.monotonic_ms()
        for local_bucket in local_buckets:
            local_bucket.settle(now_ms)
        return now_ms

    def _count(self, costs: Sequence[int], refusals: Sequence[CallerError | None]) -> None:
        for kind, events in refused_events(costs, refusals).items():
            self._telemetry.count("quota_refused", events, kind=kind)
