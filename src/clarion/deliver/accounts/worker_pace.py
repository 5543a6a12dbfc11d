"""Keeps accounts within what their providers let them do, all workers together.

Each batch of deliveries of an account asks the shared count once at most for each lane, all accounts of a batch together;
much is paid from what the worker holds. When the count can't be had, deliveries go on: each worker then keeps to a quarter
of each limit on its own.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from clarion.deliver.accounts.asking import Asking, Wanted, draw_for, is_free
from clarion.deliver.accounts.gauge import Answer, Gauge
from clarion.deliver.rules.pace import RATE, URGENT, Ask, Drawn, Late
from clarion.domain.bucket import DAY_MS
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_pace import (
    PACE_ACCOUNTS_MAX,
    PACE_ALONE_BUCKETS_MAX,
    PACE_ALONE_LOG_MS,
    PACE_ALONE_MS,
    PACE_SWEEP_MS,
)
from clarion.domain.quota import Usage
from clarion.ports.clock import Clock
from clarion.ports.quotas import BucketName, Quotas
from clarion.ports.telemetry import Telemetry
from clarion.ports.versioned import SWAP_TRIES_MAX, Settled, Versioned, settle_each

_SWEEP_PARTS = 256


class Pace:
    """The limits of all accounts, as one worker keeps to them. Belongs to one event loop; `worker` tells it from others."""

    def __init__(self, quotas: Quotas, clock: Clock, telemetry: Telemetry, worker: str) -> None:
        self._store = quotas
        self._clock = clock
        self._telemetry = telemetry
        self._worker = int.from_bytes(blake2b(worker.encode(), digest_size=6).digest()) or 1
        self._gauges: dict[tuple[str, str], Gauge] = {}
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._spare: set[Gauge] = set()
        self._alone: dict[BucketName, Usage] = {}
        self._alone_until_ms: int | None = None
        self._logged_ms: int | None = None
        self._swept_ms = 0
        self._sweep_part = 0

    def free(self, account: Account) -> bool:
        """Return whether an account has no limit at all, so that nobody needs to ask."""
        return is_free(account)

    async def take(
        self, account: Account, lane: Lane, addresses: Sequence[str], waited: Sequence[bool] = ()
    ) -> list[int | None]:
        """Do as `take_each` does, for one account."""
        (times,) = await self.take_each([Wanted(account, lane, addresses, waited)])
        return times

    async def take_each(self, wanted: Sequence[Wanted]) -> list[list[int | None]]:
        """Return per account and delivery None when it may go now, or when it may come again (Unix ms). Each one that may go
        has to end in `done` or `give_back`. No account stands twice."""
        gauges = [None if is_free(one.account) or not one.addresses else self._gauge(one.account) for one in wanted]
        # One at a time asks for an account, and all in the same order, so that nobody waits for each other.
        turns = [self._turn(gauge) for gauge in sorted(filter(None, gauges), key=lambda gauge: gauge.key)]
        held = 0
        try:
            for turn in turns:
                await turn.acquire()
                held += 1
            return await self._taken(wanted, gauges)
        finally:
            for turn in turns[:held]:
                turn.release()

    def give_back(self, account: Account, count: int) -> None:
        """Give back what `take` let go a moment ago and is not used. A recipient's interval goes on all the same."""
        gauge = self._gauges.get((account.tenant, account.name))
        if gauge is not None and count > 0:
            self._settled(gauge)
            gauge.give_back(count)
            self._note_spare(gauge)

    def done(self, account: Account) -> None:
        """Note that a call which `take` let go has ended, or is not made."""
        gauge = self._gauges.get((account.tenant, account.name))
        if gauge is not None and gauge.has_calls():
            self._settled(gauge)
            gauge.ended()
            self._note_spare(gauge)

    @property
    def is_due(self) -> bool:
        """Whether others may have calls that ended here, by `flush`."""
        return bool(self._spare)

    async def flush(self) -> None:
        """Let others have calls that ended here. Of an account that somebody asks for at this moment that stays due: he may
        have counted before they ended."""
        gauges = [gauge for gauge in self._spare if not self._turn(gauge).locked()]
        self._spare.difference_update(gauges)
        for gauge in gauges:
            await self._turn(gauge).acquire()  # nobody has it: this never waits
        try:
            asks = []
            for gauge in gauges:
                self._settled(gauge)
                if gauge.spare():
                    asks.append(Asking(gauge, Ask(gauge.limits, 0, urgent=True, worker=self._worker, day=0), []))
            await self._drawn(asks)
        finally:
            for gauge in gauges:
                self._turn(gauge).release()

    async def _taken(self, wanted: Sequence[Wanted], gauges: Sequence[Gauge | None]) -> list[list[int | None]]:
        times: list[list[int | None]] = [[None] * len(one.addresses) for one in wanted]
        late: dict[int, list[Late | None]] = {}
        asks: dict[int, Asking] = {}
        for index, (one, gauge) in enumerate(zip(wanted, gauges, strict=True)):
            if gauge is None:
                continue
            urgent, number, limits = one.lane in URGENT, len(one.addresses), one.account.rules.limits
            if gauge.limits is not limits and gauge.limits != limits:
                gauge.follow(limits)
            self._settled(gauge)
            full = gauge.full(urgent)
            if full:
                late[index] = [Late(full)] * number
                continue
            fresh = [not again for again in one.waited] if one.waited and gauge.promised(urgent) else []
            if not gauge.quick(number, any(fresh)):
                # Whoever surely finds no room need not be looked up by name.
                most = gauge.worth_asking(number)
                asks[index] = await self._asking(gauge, urgent, one.addresses[:most], fresh)
        for index, drawn in zip(asks, await self._drawn(list(asks.values())), strict=True):
            late[index] = drawn.late + [Late(RATE)] * (len(wanted[index].addresses) - len(drawn.late))
        for index, whys in late.items():
            gauge, one = gauges[index], wanted[index]
            if gauge is not None and any(whys):
                now_ms, wall_ms = self._settled(gauge)
                self._count(one.account, whys)
                times[index] = gauge.times(whys, one.waited, one.lane in URGENT, wall_ms - now_ms)
        return times

    def _gauge(self, account: Account) -> Gauge:
        key = (account.tenant, account.name)
        gauge = self._gauges.get(key)
        if gauge is None:
            if len(self._gauges) >= PACE_ACCOUNTS_MAX:
                self._gauges = {
                    name: one for name, one in self._gauges.items() if one.has_calls() or self._turn(one).locked()
                }
                self._turns = {name: turn for name, turn in self._turns.items() if name in self._gauges}
            gauge = self._gauges[key] = Gauge(account)
        return gauge

    def _turn(self, gauge: Gauge) -> asyncio.Lock:
        turn = self._turns.get(gauge.key)
        if turn is None:
            turn = self._turns[gauge.key] = asyncio.Lock()
        return turn

    def _settled(self, gauge: Gauge) -> tuple[int, int]:
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        gauge.settle(now_ms, wall_ms // DAY_MS)
        return now_ms, wall_ms

    def _note_spare(self, gauge: Gauge) -> None:
        if gauge.spare():
            self._spare.add(gauge)

    async def _asking(self, gauge: Gauge, urgent: bool, addresses: Sequence[str], fresh: Sequence[bool]) -> Asking:
        names: dict[BucketName, int] = {}
        places: list[int] = []
        if gauge.limits.recipient_interval_ms is not None:
            places = [names.setdefault(gauge.recipient(address), len(names)) for address in addresses]
            await self._sweep(gauge)
        ask = Ask(gauge.limits, len(addresses), urgent, self._worker, 0, places, fresh)
        return Asking(gauge, ask, list(names))

    async def _drawn(self, asks: Sequence[Asking]) -> list[Drawn]:
        if not asks:
            return []
        now_ms = self._clock.monotonic_ms()
        if self._alone_until_ms is not None and now_ms < self._alone_until_ms:
            return [self._drawn_alone(one) for one in asks]
        for one in asks:
            one.gauge.begin()
        settled: Sequence[Settled[Usage, tuple[Drawn, int, int]] | None] = [None] * len(asks)
        try:
            settled = await self._settled_shared(asks)
            if None in settled:
                self._go_alone(Overloaded(f"others were quicker {SWAP_TRIES_MAX} times"), now_ms)
            elif self._alone_until_ms is not None:
                self._alone_until_ms = None
                self._alone.clear()
        except (Overloaded, DurabilityError) as error:
            self._go_alone(error, now_ms)
        finally:
            for one, found in zip(asks, settled, strict=True):
                one.gauge.end(None if found is None else Answer(found.now, *found.answer))
                self._note_spare(one.gauge)  # calls may have ended meanwhile
        return [
            self._drawn_alone(one) if found is None else found.answer[0]
            for one, found in zip(asks, settled, strict=True)
        ]

    async def _settled_shared(self, asks: Sequence[Asking]) -> list[Settled[Usage, tuple[Drawn, int, int]] | None]:
        """Ask the shared count; an answer is what was drawn, when, and on which day."""

        def decide(index: int, usages: list[Usage]) -> tuple[list[Usage], tuple[Drawn, int, int]]:
            one = asks[index]
            # Others may have had their turn first, and what is held leaks meanwhile.
            at_ms, wall_ms = self._settled(one.gauge)
            day = wall_ms // DAY_MS
            drawn = draw_for(one, one.gauge.holds, usages, at_ms, day)
            return one.usages(drawn), (drawn, at_ms, day)

        found = iter(await self._recipients(asks))
        known: list[list[Versioned[Usage]]] = []
        for one in asks:
            recipients = [next(found) for _ in one.recipients]
            known.append([*one.gauge.stored, *recipients])
        return await settle_each(self._store, [one.names for one in asks], decide, self._clock, known)

    async def _recipients(self, asks: Sequence[Asking]) -> list[Versioned[Usage]]:
        names = [name for one in asks for name in one.recipients]
        return await self._store.read(names) if names else []

    def _drawn_alone(self, one: Asking) -> Drawn:
        """Decide by what this worker alone has used since the store failed."""
        if len(self._alone) > PACE_ALONE_BUCKETS_MAX:
            self._alone.clear()
        now_ms, wall_ms = self._settled(one.gauge)
        drawn = one.alone(self._alone, now_ms, wall_ms // DAY_MS)
        self._alone |= dict(zip(one.names, one.usages(drawn), strict=True))
        return drawn

    def _go_alone(self, error: Exception, now_ms: int) -> None:
        self._alone_until_ms = now_ms + PACE_ALONE_MS
        if self._logged_ms is None or now_ms - self._logged_ms >= PACE_ALONE_LOG_MS:
            self._logged_ms = now_ms
            self._telemetry.log("error", "pace_alone", detail=str(error))

    async def _sweep(self, gauge: Gauge) -> None:
        """Clear away recipients of an account that may be written to again, a part of them now and then."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._swept_ms < PACE_SWEEP_MS or self._alone_until_ms is not None:
            return
        self._swept_ms, part = now_ms, self._sweep_part
        self._sweep_part = (part + 1) % _SWEEP_PARTS
        last = f"to:{part + 1:02x}" if part + 1 < _SWEEP_PARTS else "to:g"
        keep_ms = (now_ms, now_ms + (gauge.limits.recipient_interval_ms or 0))
        try:
            await self._store.forget(gauge.tenant, gauge.owner, (f"to:{part:02x}", last), keep_ms)
        except (Overloaded, DurabilityError) as error:
            self._go_alone(error, now_ms)

    def _count(self, account: Account, late: Sequence[Late | None]) -> None:
        for limit, number in Counter(why.limit for why in late if why is not None).items():
            self._telemetry.count("paced", number, channel=account.channel, limit=limit)
