"""Keeps accounts within what their providers let them do, all workers together.

Each batch of deliveries of an account asks the shared count once at most; much is paid from what the worker holds. When the
count can't be had, deliveries go on: each worker then keeps to a quarter of each limit on its own.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from clarion.deliver.accounts.gauge import Gauge
from clarion.deliver.rules.pace import RATE, URGENT, Ask, Drawn, Holds, Late, draw
from clarion.deliver.rules.pace_calls import Calls
from clarion.domain.bucket import DAY_MS
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_pace import (
    PACE_ACCOUNTS_MAX,
    PACE_ALONE_BUCKETS_MAX,
    PACE_ALONE_DIVISOR,
    PACE_ALONE_LOG_MS,
    PACE_ALONE_MS,
    PACE_SWEEP_MS,
)
from clarion.domain.quota import Usage
from clarion.domain.resilience import Limits
from clarion.ports.clock import Clock
from clarion.ports.quotas import BucketName, Quotas
from clarion.ports.telemetry import Telemetry

_FREE = Limits()
_SWEEP_PARTS = 256


class Pace:
    """The limits of all accounts, as one worker keeps to them. Belongs to one event loop; `worker` tells it from others."""

    def __init__(self, quotas: Quotas, clock: Clock, telemetry: Telemetry, worker: str) -> None:
        self._store = quotas
        self._clock = clock
        self._telemetry = telemetry
        self._worker = int.from_bytes(blake2b(worker.encode(), digest_size=6).digest()) or 1
        self._gauges: dict[tuple[str, str], Gauge] = {}
        self._alone: dict[BucketName, Usage] = {}
        self._alone_until_ms: int | None = None
        self._logged_ms: int | None = None
        self._swept_ms = 0
        self._sweep_part = 0

    def free(self, account: Account) -> bool:
        """Return whether an account has no limit at all, so that nobody needs to ask."""
        limits = account.rules.limits
        return limits is _FREE or limits == _FREE

    def take(
        self, account: Account, lane: Lane, addresses: Sequence[str], waited: Sequence[bool] = ()
    ) -> list[int | None]:
        """Return per delivery None when it may go now, or when it may come again (Unix ms). Each one that may go has to end
        in `done` or `give_back`. `waited` says which deliveries were put off before: others leave them half of the burst,
        and they are not sent to the end of the queue again."""
        if self.free(account) or not addresses:
            return [None] * len(addresses)
        gauge, urgent = self._gauge(account), lane in URGENT
        now_ms, wall_ms = self._settled(gauge)
        full = gauge.full(urgent)
        late: list[Late | None]
        if full:
            late = [Late(full)] * len(addresses)
        else:
            fresh = [not again for again in waited] if waited and gauge.promised(urgent) else []
            if gauge.quick(len(addresses), any(fresh)):
                return [None] * len(addresses)
            # Whoever surely finds no room need not be looked up by name.
            most = gauge.worth_asking(len(addresses))
            late = self._asked(gauge, urgent, addresses[:most], fresh, wall_ms // DAY_MS).late
            late += [Late(RATE)] * (len(addresses) - most)
            now_ms, wall_ms = self._settled(gauge)
        if not any(late):
            return [None] * len(addresses)
        self._count(account, late)
        return gauge.times(late, waited, urgent, wall_ms - now_ms)

    def give_back(self, account: Account, count: int) -> None:
        """Give back what `take` let go a moment ago and is not used. A recipient's interval goes on all the same."""
        gauge = self._gauges.get((account.tenant, account.name))
        if gauge is not None and count > 0:
            self._settled(gauge)
            gauge.give_back(count)
            self._tell(gauge)

    def done(self, account: Account) -> None:
        """Note that a call which `take` let go has ended, or is not made."""
        gauge = self._gauges.get((account.tenant, account.name))
        if gauge is not None and gauge.holds.calls.under_way:
            self._settled(gauge)
            gauge.ended()
            self._tell(gauge)

    def _gauge(self, account: Account) -> Gauge:
        key = (account.tenant, account.name)
        gauge = self._gauges.get(key)
        if gauge is None:
            if len(self._gauges) >= PACE_ACCOUNTS_MAX:
                self._gauges = {name: one for name, one in self._gauges.items() if one.holds.calls.under_way}
            gauge = self._gauges[key] = Gauge(account)
        elif gauge.limits is not account.rules.limits and gauge.limits != account.rules.limits:
            gauge.follow(account.rules.limits)
        return gauge

    def _settled(self, gauge: Gauge) -> tuple[int, int]:
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        gauge.settle(now_ms, wall_ms // DAY_MS)
        return now_ms, wall_ms

    def _tell(self, gauge: Gauge) -> None:
        """Let others have calls that ended here."""
        if gauge.spare():
            self._drawn(gauge, Ask(gauge.limits, 0, urgent=True, worker=self._worker, day=0), [])

    def _asked(self, gauge: Gauge, urgent: bool, addresses: Sequence[str], fresh: Sequence[bool], day: int) -> Drawn:
        names: dict[BucketName, int] = {}
        places: list[int] = []
        if gauge.limits.recipient_interval_ms is not None:
            places = [names.setdefault(gauge.recipient(address), len(names)) for address in addresses]
            self._sweep(gauge)
        ask = Ask(gauge.limits, len(addresses), urgent, self._worker, day, places, fresh)
        return self._drawn(gauge, ask, list(names))

    def _drawn(self, gauge: Gauge, ask: Ask, recipients: list[BucketName]) -> Drawn:
        now_ms = self._clock.monotonic_ms()
        if self._alone_until_ms is not None and now_ms < self._alone_until_ms:
            return self._drawn_alone(gauge, ask, recipients)

        def decide(usages: list[Usage]) -> tuple[list[Usage], Drawn]:
            # Others may have had their turn first, and what is held leaks meanwhile.
            at_ms, wall_ms = self._settled(gauge)
            drawn = _draw(gauge, ask._replace(day=wall_ms // DAY_MS), gauge.holds, usages, at_ms)
            return _usages(gauge, drawn), drawn

        try:
            drawn = self._store.change([*gauge.names, *recipients], decide)
        except (Overloaded, DurabilityError) as error:
            self._go_alone(error, now_ms)
            return self._drawn_alone(gauge, ask, recipients)
        if self._alone_until_ms is not None:
            self._alone_until_ms = None
            self._alone.clear()
        gauge.learn(drawn, self._clock.monotonic_ms())
        return drawn

    def _drawn_alone(self, gauge: Gauge, ask: Ask, recipients: list[BucketName]) -> Drawn:
        """Decide by what this worker alone has used since the store failed."""
        if len(self._alone) > PACE_ALONE_BUCKETS_MAX:
            self._alone.clear()
        names = [*gauge.names, *recipients]
        now_ms, wall_ms = self._settled(gauge)
        held = gauge.holds
        # Of calls only its own are known, so no row counts.
        usages = [Usage() if name.kind.startswith("calls") else self._alone.get(name, Usage()) for name in names]
        ask = ask._replace(limits=_share(gauge.limits), day=wall_ms // DAY_MS)
        drawn = _draw(gauge, ask, Holds(calls=Calls(held.calls.under_way)), usages, now_ms)
        self._alone |= dict(zip(names, _usages(gauge, drawn), strict=True))
        gauge.holds = held._replace(calls=held.calls._replace(under_way=drawn.holds.calls.under_way))
        return drawn

    def _go_alone(self, error: Exception, now_ms: int) -> None:
        self._alone_until_ms = now_ms + PACE_ALONE_MS
        if self._logged_ms is None or now_ms - self._logged_ms >= PACE_ALONE_LOG_MS:
            self._logged_ms = now_ms
            self._telemetry.log("error", "pace_alone", detail=str(error))

    def _sweep(self, gauge: Gauge) -> None:
        """Clear away recipients of an account that may be written to again, a part of them now and then."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._swept_ms < PACE_SWEEP_MS or self._alone_until_ms is not None:
            return
        self._swept_ms, part = now_ms, self._sweep_part
        self._sweep_part = (part + 1) % _SWEEP_PARTS
        last = f"to:{part + 1:02x}" if part + 1 < _SWEEP_PARTS else "to:g"
        keep_ms = (now_ms, now_ms + (gauge.limits.recipient_interval_ms or 0))
        try:
            self._store.forget(gauge.tenant, gauge.owner, (f"to:{part:02x}", last), keep_ms)
        except (Overloaded, DurabilityError) as error:
            self._go_alone(error, now_ms)

    def _count(self, account: Account, late: Sequence[Late | None]) -> None:
        for limit, number in Counter(why.limit for why in late if why is not None).items():
            self._telemetry.count("paced", number, channel=account.channel, limit=limit)


def _draw(gauge: Gauge, ask: Ask, holds: Holds, usages: Sequence[Usage], now_ms: int) -> Drawn:
    kinds = len(gauge.kinds)
    books = dict(zip(gauge.kinds, usages[:kinds], strict=True))
    return draw(ask, holds, books, [usage.at_ms for usage in usages[kinds:]], now_ms)


def _usages(gauge: Gauge, drawn: Drawn) -> list[Usage]:
    return [*(drawn.books[kind] for kind in gauge.kinds), *(Usage(0, free_ms) for free_ms in drawn.frees)]


def _share(limits: Limits) -> Limits:
    """Return the limits of a worker that goes on alone."""
    return Limits(
        per_second=_part(limits.per_second),
        per_day=_part(limits.per_day),
        concurrent=_part(limits.concurrent),
        recipient_interval_ms=limits.recipient_interval_ms,
    )


def _part(figure: int | None) -> int | None:
    return None if figure is None else max(1, figure // PACE_ALONE_DIVISOR)
