"""Quotas at the door.

Most requests are paid from what the process holds. The count that all processes share is asked when that does not
suffice, unless it is known already that there is no room: others only take, so what was seen last tells.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from clarion.accept.quota_meter import DAILY, RATE, Meter, Meters, Tap
from clarion.accept.rules.quota import Drawn, draw
from clarion.domain.bucket import DAY_MS, THOUSAND, wait_ms
from clarion.domain.errors import CallerError, QuotaExceeded, TooLarge
from clarion.domain.quota import TENANT, Usage
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.quotas import Quotas
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller

AUDIENCE: Final = "audience"
_CODES: Final = {RATE: "quota_exceeded", DAILY: "daily_quota_exceeded", AUDIENCE: "audience_too_large"}
_KINDS: Final = {code: kind for kind, code in _CODES.items()}

Headers = dict[str, str]
"""The `RateLimit-*` fields of an answer; empty for a caller without a quota."""


class QuotaGate:
    """Lets through what the quotas of the caller's key and tenant allow. Belongs to one event loop."""

    def __init__(self, store: Quotas, directory: Directory, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._telemetry = telemetry
        self._meters = Meters()

    def charge(self, caller: Caller, events: int) -> Headers:
        """Take events, all or none, and return how the quota stands afterwards. Raises `QuotaExceeded`, or `TooLarge` when
        so many never fit."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, wall_ms)
        if meter is None:
            return {}
        (refusal,) = self._charge(meter, [events], wall_ms)
        if refusal is not None:
            raise refusal
        return _standing(meter, wall_ms)

    def charge_each(self, caller: Caller, costs: Sequence[int]) -> list[CallerError | None]:
        """Take the events of several items, in their order, as far as there is room; say of each why not, or None."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, wall_ms)
        return [None] * len(costs) if meter is None else self._charge(meter, costs, wall_ms)

    def standing(self, caller: Caller) -> Headers:
        """Return how the quota that leaves the caller least room stands, as of when it was last charged."""
        wall_ms = self._clock.now_ms()
        meter = self._meter(caller, wall_ms)
        return {} if meter is None else _standing(meter, wall_ms)

    def audience_max(self, caller: Caller) -> int | None:
        """Return how many recipients a broadcast of the caller may have; None is no limit."""
        meter = self._meter(caller, self._clock.now_ms())
        return None if meter is None else meter.audience_max

    def refuse_audience(self, users: int, most: int) -> None:
        """Count and raise that an audience has at least so many users, more than are allowed."""
        refusal = _too_large(users, most, "audience")
        self._count([1], [refusal])
        raise refusal

    def _meter(self, caller: Caller, wall_ms: int) -> Meter | None:
        quotas = self._directory.quotas(caller.tenant)
        if not quotas:
            return None
        return self._meters.of(caller, (quotas.get(caller.key_id), quotas.get(TENANT)), wall_ms // DAY_MS)

    def _charge(self, meter: Meter, costs: Sequence[int], wall_ms: int) -> list[CallerError | None]:
        most = meter.size_max
        if most is None:
            return [None] * len(costs)
        granted = iter(self._take(meter, [cost for cost in costs if cost <= most]))
        refusals: list[CallerError | None] = []
        for cost in costs:
            if cost > most:
                refusals.append(_too_large(cost, most, "to"))
            else:
                refusals.append(None if next(granted) else _used_up(meter, cost, wall_ms))
        if any(refusals):
            self._count(costs, refusals)
        return refusals

    def _take(self, meter: Meter, costs: list[int]) -> list[bool]:
        taps = meter.taps
        if not taps or not costs:
            return [True] * len(costs)
        self._settle(taps)
        amount_m = THOUSAND * sum(costs)
        if all(tap.hold_m >= amount_m for tap in taps):
            for tap in taps:
                tap.hold_m -= amount_m
            return [True] * len(costs)
        if min(tap.open_m() for tap in taps) < THOUSAND * min(costs):
            return [False] * len(costs)
        return self._draw(taps, costs)

    def _draw(self, taps: list[Tap], costs: list[int]) -> list[bool]:
        def decide(usages: list[Usage]) -> tuple[list[Usage], Drawn]:
            now_ms = self._settle(taps)  # others may have had their turn first, and what is held leaks meanwhile
            drawn = draw(costs, [tap.bucket for tap in taps], usages, [tap.hold_m for tap in taps], now_ms)
            return drawn.usages, drawn

        drawn = self._store.change([tap.name for tap in taps], decide)
        for tap, usage, hold_m in zip(taps, drawn.usages, drawn.holds_m, strict=True):
            tap.used_m, tap.hold_m = usage.used_m, hold_m
        return drawn.granted

    def _settle(self, taps: list[Tap]) -> int:
        now_ms = self._clock.monotonic_ms()
        for tap in taps:
            tap.settle(now_ms)
        return now_ms

    def _count(self, costs: Sequence[int], refusals: Sequence[CallerError | None]) -> None:
        refused: Counter[str] = Counter()
        for cost, refusal in zip(costs, refusals, strict=True):
            if refusal is not None:
                refused[_KINDS[refusal.code]] += cost
        for kind, events in refused.items():
            self._telemetry.count("quota_refused", events, kind=kind)


def _standing(meter: Meter, wall_ms: int) -> Headers:
    return _fields(min(meter.taps, key=Tap.open_m), wall_ms) if meter.taps else {}


def _fields(tap: Tap, wall_ms: int) -> Headers:
    """Return how a bucket stands, in the fields of draft-ietf-httpapi-ratelimit-headers-06; `Reset` is in how many seconds
    nothing of it is used any more."""
    capacity, open_m = tap.bucket.capacity, tap.open_m()
    reset_ms = wait_ms(tap.bucket, open_m, capacity, DAY_MS - wall_ms % DAY_MS)
    return {
        "RateLimit-Limit": str(capacity),
        "RateLimit-Remaining": str(open_m // THOUSAND),
        "RateLimit-Reset": str(_seconds(reset_ms)),
    }


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
        headers=_fields(tap, wall_ms),
    )


def _too_large(users: int, most: int, field: str) -> TooLarge:
    detail = f"{users} recipients are more than the {most} that the quota allows at once"
    return TooLarge(detail, field=field, code=_CODES[AUDIENCE])


def _seconds(time_ms: int) -> int:
    return -(-time_ms // THOUSAND)
