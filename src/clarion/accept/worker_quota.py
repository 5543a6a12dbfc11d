"""Quotas at the door.

Most requests are paid from what the process holds. The count that all processes share is asked when that does not
suffice, unless it is known already that there is no room: others only take, so what was seen last tells. One request of a
tenant asks at a time, for all that wait with the same key.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from weakref import WeakValueDictionary

from clarion.accept.quota import paid_from_hold, refusals_of, refused_events, standing_of, too_large
from clarion.accept.quota_meter import Meter, Meters, Tap, Waiting
from clarion.accept.rules.quota import Drawn, draw
from clarion.domain.bucket import DAY_MS
from clarion.domain.errors import CallerError, ClarionError, QuotaStanding
from clarion.domain.quota import TENANT, Quota, Usage
from clarion.ports.clock import Clock
from clarion.ports.quotas import Quotas
from clarion.ports.telemetry import Telemetry
from clarion.ports.versioned import settle
from clarion.ports.web import Caller

QuotasOf: TypeAlias = Mapping[str, Quota]
"""The quotas of a tenant's keys by key id, and its own under an empty one; gathered once a request."""


class QuotaGate:
    """Lets through what the quotas of the caller's key and tenant allow. Belongs to one event loop."""

    def __init__(self, store: Quotas, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._meters = Meters()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def charge(self, caller: Caller, quotas: QuotasOf, events: int) -> QuotaStanding | None:
        """Take events, all or none, and return how the quota stands afterwards. Raises `QuotaExceeded`, or `TooLarge` when
        so many never fit, and `Overloaded` when the shared count cannot be had."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, quotas, wall_ms)
        if meter is None:
            return None
        (refusal,) = await self._charge(caller.tenant, meter, [events], wall_ms)
        if refusal is not None:
            raise refusal
        return standing_of(meter, wall_ms)

    async def charge_each(self, caller: Caller, quotas: QuotasOf, costs: Sequence[int]) -> list[CallerError | None]:
        """Take the events of several items, in their order, as far as there is room; say of each why not, or None. Raises
        `Overloaded` as `charge` does."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, quotas, wall_ms)
        if meter is None:
            return [None] * len(costs)
        return await self._charge(caller.tenant, meter, costs, wall_ms)

    def standing(self, caller: Caller, quotas: QuotasOf) -> QuotaStanding | None:
        """Return how the quota that leaves the caller least room stands, as of when it was last charged."""
        meter = self._meters.at_hand(caller) if quotas else None
        return None if meter is None else standing_of(meter, self._clock.now_ms())

    def audience_max(self, caller: Caller, quotas: QuotasOf) -> int | None:
        """Return how many recipients a broadcast of the caller may have; None is no limit."""
        meter = self._meter(caller, quotas, self._clock.now_ms())
        return None if meter is None else meter.audience_max

    def refuse_audience(self, users: int, most: int) -> None:
        """Count and raise that an audience has at least so many users, more than are allowed."""
        refusal = too_large(users, most, "audience")
        self._count([1], [refusal])
        raise refusal

    def _meter(self, caller: Caller, quotas: QuotasOf, wall_ms: int) -> Meter | None:
        if not quotas:
            return None
        return self._meters.of(caller, (quotas.get(caller.key_id), quotas.get(TENANT)), wall_ms // DAY_MS)

    async def _charge(self, tenant: str, meter: Meter, costs: Sequence[int], wall_ms: int) -> list[CallerError | None]:
        most = meter.size_max
        if most is None:
            return [None] * len(costs)
        granted = await self._take(tenant, meter, [cost for cost in costs if cost <= most])
        refusals = refusals_of(meter, costs, granted, most, wall_ms)
        if any(refusals):
            self._count(costs, refusals)
        return refusals

    async def _take(self, tenant: str, meter: Meter, costs: list[int]) -> list[bool]:
        if not meter.taps or not costs:
            return [True] * len(costs)
        turn = self._turns.get(tenant)
        if turn is None or not turn.locked():
            self._settle(meter.taps)
            granted = paid_from_hold(meter.taps, costs)
            if granted is not None:
                return granted
        if turn is None:
            turn = self._turns[tenant] = asyncio.Lock()
        mine = Waiting(costs)
        meter.waiting.append(mine)
        try:
            async with turn:
                if not mine.is_done:
                    await self._serve(meter, mine)
        finally:
            if mine in meter.waiting:  # cancelled before its turn
                meter.waiting.remove(mine)
        return mine.outcome()

    async def _serve(self, meter: Meter, leader: Waiting) -> None:
        """Pay all that wait for a meter, in their order, with one look at the shared count."""
        served = meter.waiting[:]
        del meter.waiting[:]
        try:
            granted = await self._paid(meter.taps, [cost for one in served for cost in one.costs])
        except ClarionError as error:
            for one in served:
                one.failure = error
            return
        except BaseException:
            meter.waiting[:0] = [one for one in served if one is not leader]  # cancelled; the next one leads
            raise
        left = iter(granted)
        for one in served:
            one.granted = [next(left) for _ in one.costs]

    async def _paid(self, taps: list[Tap], costs: list[int]) -> list[bool]:
        self._settle(taps)
        granted = paid_from_hold(taps, costs)
        if granted is not None:
            return granted
        at_ms = 0

        def decide(usages: list[Usage]) -> tuple[list[Usage], Drawn]:
            nonlocal at_ms
            at_ms = self._settle(taps)  # others may have had their turn first, and what is held leaks meanwhile
            drawn = draw(costs, [tap.bucket for tap in taps], usages, [tap.hold_m for tap in taps], at_ms)
            return drawn.usages, drawn

        names, known = [tap.name for tap in taps], [tap.known for tap in taps]
        now, drawn = await settle(self._store, names, decide, self._clock, known)
        for tap, usage, hold_m in zip(taps, now, drawn.holds_m, strict=True):
            tap.learn(usage, hold_m, at_ms)
        return drawn.granted

    def _settle(self, taps: list[Tap]) -> int:
        now_ms = self._clock.monotonic_ms()
        for tap in taps:
            tap.settle(now_ms)
        return now_ms

    def _count(self, costs: Sequence[int], refusals: Sequence[CallerError | None]) -> None:
        for kind, events in refused_events(costs, refusals).items():
            self._telemetry.count("quota_refused", events, kind=kind)
