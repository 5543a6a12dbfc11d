"""Keeps accounts within the limits of their providers, over all workers.

Each batch of deliveries of an account asks the shared count once at most for each lane, all accounts of a batch
together; many draws need only the worker's holdings. When the count is unavailable, delivery continues: each worker
then keeps to a quarter of each limit on its own.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from clarion.deliver.accounts.limit_request import CallDemand, LimitRequest, draw_for, is_unlimited
from clarion.deliver.accounts.local_limits import Answer, LocalLimits
from clarion.deliver.rules.pace import RATE, URGENT, Draw, DrawRequest, OverLimit
from clarion.domain.bucket import DAY_MS
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_delivery import (
    PACE_ACCOUNTS_MAX,
    PACE_LOCAL_BUCKETS_MAX,
    PACE_LOCAL_LOG_MS,
    PACE_LOCAL_MS,
    PACE_SWEEP_MS,
)
from clarion.domain.quota import Usage
from clarion.ports.clock import Clock
from clarion.ports.quotas import BucketName, Quotas
from clarion.ports.telemetry import Telemetry
from clarion.ports.versioned import Versioned
from clarion.runtime.shared_counts import SWAP_TRIES_MAX, Settled, settle_each

_SWEEP_PARTS = 256


class Pace:
    """The limits of all accounts in one worker. Belongs to one event loop; `worker` identifies it in the shared
    count."""

    def __init__(self, quotas: Quotas, clock: Clock, telemetry: Telemetry, worker: str) -> None:
        self._store = quotas
        self._clock = clock
        self._telemetry = telemetry
        self._worker = int.from_bytes(blake2b(worker.encode(), digest_size=6).digest()) or 1
        self._all_limits: dict[tuple[str, str], LocalLimits] = {}
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._spare: dict[LocalLimits, None] = {}
        self._alone: dict[BucketName, Usage] = {}
        self._local_until_ms: int | None = None
        self._logged_ms: int | None = None
        self._swept_ms = 0
        self._sweep_part = 0

    def is_unlimited(self, account: Account) -> bool:
        """Return whether an account has no limit at all, so that no draw is needed."""
        return is_unlimited(account)

    async def draw(
        self, account: Account, lane: Lane, addresses: Sequence[str], waited: Sequence[bool] = ()
    ) -> list[int | None]:
        """Do as `draw_each` does, for one account."""
        (times,) = await self.draw_each([CallDemand(account, lane, addresses, waited)])
        return times

    async def draw_each(self, wanted: Sequence[CallDemand]) -> list[list[int | None]]:
        """Return per account and delivery None when it may be sent now, or when it may try again (Unix ms). Each one
        that may be sent has to end in `end_call` or `give_back`. No account may occur twice."""
        limits_there = [
            None if is_unlimited(one.account) or not one.addresses else self._local_limits(one.account)
            for one in wanted
        ]
        # One task at a time draws for an account, and all in the same order, so that they cannot deadlock.
        turns = [
            self._turn(limits_here)
            for limits_here in sorted(filter(None, limits_there), key=lambda limits_here: limits_here.key)
        ]
        held = 0
        try:
            for turn in turns:
                await turn.acquire()
                held += 1
            return await self._drawn_times(wanted, limits_there)
        finally:
            for turn in turns[:held]:
                turn.release()

    def give_back(self, account: Account, count: int) -> None:
        """Return calls that `draw` just granted and that are not made. A recipient's interval runs anyway."""
        limits_here = self._all_limits.get((account.tenant, account.name))
        if limits_here is not None and count > 0:
            self._settled(limits_here)
            limits_here.give_back(count)
            self._note_unshared(limits_here)

    def end_call(self, account: Account) -> None:
        """Note that a call granted by `draw` has ended, or is not made."""
        limits_here = self._all_limits.get((account.tenant, account.name))
        if limits_here is not None and limits_here.has_calls():
            self._settled(limits_here)
            limits_here.end_call()
            self._note_unshared(limits_here)

    @property
    def is_due(self) -> bool:
        """Whether `flush` has ended calls to release for other workers."""
        return bool(self._spare)

    async def flush(self) -> None:
        """Release ended calls for other workers. An account with a request under way stays due: the request may have
        counted the calls before they ended."""
        limits_there = [limits_here for limits_here in self._spare if not self._turn(limits_here).locked()]
        for limits_here in limits_there:
            del self._spare[limits_here]
        for limits_here in limits_there:
            await self._turn(limits_here).acquire()  # it is free: this never waits
        try:
            asks = []
            for limits_here in limits_there:
                self._settled(limits_here)
                if limits_here.should_share_calls():
                    asks.append(
                        LimitRequest(
                            limits_here, DrawRequest(limits_here.limits, 0, urgent=True, worker=self._worker, day=0), []
                        )
                    )
            await self._drawn(asks)
        finally:
            for limits_here in limits_there:
                self._turn(limits_here).release()

    async def _drawn_times(
        self, wanted: Sequence[CallDemand], limits_there: Sequence[LocalLimits | None]
    ) -> list[list[int | None]]:
        times: list[list[int | None]] = [[None] * len(one.addresses) for one in wanted]
        late: dict[int, list[OverLimit | None]] = {}
        asks: dict[int, LimitRequest] = {}
        for index, (one, limits_here) in enumerate(zip(wanted, limits_there, strict=True)):
            if limits_here is None:
                continue
            urgent, number, limits = one.lane in URGENT, len(one.addresses), one.account.rules.limits
            if limits_here.limits is not limits and limits_here.limits != limits:
                limits_here.set_limits(limits)
            self._settled(limits_here)
            full = limits_here.exhausted_limit(urgent)
            if full:
                late[index] = [OverLimit(full)] * number
                continue
            fresh = [not again for again in one.waited] if one.waited and limits_here.has_promises(urgent) else []
            if not limits_here.draw_from_hold(number, any(fresh)):
                # A delivery that certainly finds no room needs no lookup of its recipient.
                most = limits_here.batch_to_ask(number)
                asks[index] = await self._asking(limits_here, urgent, one.addresses[:most], fresh)
        for index, drawn in zip(asks, await self._drawn(list(asks.values())), strict=True):
            late[index] = drawn.over + [OverLimit(RATE)] * (len(wanted[index].addresses) - len(drawn.over))
        for index, causes in late.items():
            limits_here, one = limits_there[index], wanted[index]
            if limits_here is not None and any(causes):
                now_ms, wall_ms = self._settled(limits_here)
                self._count(one.account, causes)
                times[index] = limits_here.return_times(causes, one.waited, one.lane in URGENT, wall_ms - now_ms)
        return times

    def _local_limits(self, account: Account) -> LocalLimits:
        key = (account.tenant, account.name)
        limits_here = self._all_limits.get(key)
        if limits_here is None:
            if len(self._all_limits) >= PACE_ACCOUNTS_MAX:
                self._all_limits = {
                    name: one for name, one in self._all_limits.items() if one.has_calls() or self._turn(one).locked()
                }
                self._turns = {name: turn for name, turn in self._turns.items() if name in self._all_limits}
            limits_here = self._all_limits[key] = LocalLimits(account)
        return limits_here

    def _turn(self, limits_here: LocalLimits) -> asyncio.Lock:
        turn = self._turns.get(limits_here.key)
        if turn is None:
            turn = self._turns[limits_here.key] = asyncio.Lock()
        return turn

    def _settled(self, limits_here: LocalLimits) -> tuple[int, int]:
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        limits_here.settle(now_ms, wall_ms // DAY_MS)
        return now_ms, wall_ms

    def _note_unshared(self, limits_here: LocalLimits) -> None:
        if limits_here.should_share_calls():
            self._spare[limits_here] = None

    async def _asking(
        self, limits_here: LocalLimits, urgent: bool, addresses: Sequence[str], fresh: Sequence[bool]
    ) -> LimitRequest:
        names: dict[BucketName, int] = {}
        places: list[int] = []
        if limits_here.limits.recipient_interval_ms is not None:
            places = [names.setdefault(limits_here.recipient(address), len(names)) for address in addresses]
            await self._sweep(limits_here)
        ask = DrawRequest(limits_here.limits, len(addresses), urgent, self._worker, 0, places, fresh)
        return LimitRequest(limits_here, ask, list(names))

    async def _drawn(self, asks: Sequence[LimitRequest]) -> list[Draw]:
        if not asks:
            return []
        now_ms = self._clock.monotonic_ms()
        if self._local_until_ms is not None and now_ms < self._local_until_ms:
            return [self._draw_locally(one) for one in asks]
        for one in asks:
            one.local.begin()
        settled: Sequence[Settled[Usage, tuple[Draw, int, int]] | None] = [None] * len(asks)
        try:
            settled = await self._settled_shared(asks)
            if None in settled:
                self._fall_back_to_local(Overloaded(f"other workers changed it first {SWAP_TRIES_MAX} times"), now_ms)
            elif self._local_until_ms is not None:
                self._local_until_ms = None
                self._alone.clear()
        except (Overloaded, DurabilityError) as error:
            self._fall_back_to_local(error, now_ms)
        finally:
            for one, found in zip(asks, settled, strict=True):
                one.local.end(None if found is None else Answer(found.now, *found.answer))
                self._note_unshared(one.local)  # calls may have ended meanwhile
        return [
            self._draw_locally(one) if found is None else found.answer[0]
            for one, found in zip(asks, settled, strict=True)
        ]

    async def _settled_shared(self, asks: Sequence[LimitRequest]) -> list[Settled[Usage, tuple[Draw, int, int]] | None]:
        """Request the shared count; an answer is the draw, its time and its day."""

        def decide(index: int, usages: list[Usage]) -> tuple[list[Usage], tuple[Draw, int, int]]:
            one = asks[index]
            # Other tasks may have run first, and holdings leak meanwhile.
            at_ms, wall_ms = self._settled(one.local)
            day = wall_ms // DAY_MS
            drawn = draw_for(one, one.local.holds, usages, at_ms, day)
            return one.usages(drawn), (drawn, at_ms, day)

        found = iter(await self._recipients(asks))
        known: list[list[Versioned[Usage]]] = []
        for one in asks:
            recipients = [next(found) for _ in one.recipients]
            known.append([*one.local.stored, *recipients])
        return await settle_each(self._store, [one.names for one in asks], decide, self._clock, known)

    async def _recipients(self, asks: Sequence[LimitRequest]) -> list[Versioned[Usage]]:
        names = [name for one in asks for name in one.recipients]
        return await self._store.read(names) if names else []

    def _draw_locally(self, one: LimitRequest) -> Draw:
        """Return a draw by the usage of this worker alone since the store failed."""
        if len(self._alone) > PACE_LOCAL_BUCKETS_MAX:
            self._alone.clear()
        now_ms, wall_ms = self._settled(one.local)
        drawn = one.draw_locally(self._alone, now_ms, wall_ms // DAY_MS)
        self._alone |= dict(zip(one.names, one.usages(drawn), strict=True))
        return drawn

    def _fall_back_to_local(self, error: Exception, now_ms: int) -> None:
        self._local_until_ms = now_ms + PACE_LOCAL_MS
        if self._logged_ms is None or now_ms - self._logged_ms >= PACE_LOCAL_LOG_MS:
            self._logged_ms = now_ms
            self._telemetry.log("error", "pace_local", detail=str(error))

    async def _sweep(self, limits_here: LocalLimits) -> None:
        """Remove the recipients of an account whose interval has passed, a part of them now and then."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._swept_ms < PACE_SWEEP_MS or self._local_until_ms is not None:
            return
        self._swept_ms, part = now_ms, self._sweep_part
        self._sweep_part = (part + 1) % _SWEEP_PARTS
        last = f"to:{part + 1:02x}" if part + 1 < _SWEEP_PARTS else "to:g"
        keep_ms = (now_ms, now_ms + (limits_here.limits.recipient_interval_ms or 0))
        try:
            await self._store.forget(limits_here.tenant, limits_here.owner, (f"to:{part:02x}", last), keep_ms)
        except (Overloaded, DurabilityError) as error:
            self._fall_back_to_local(error, now_ms)

    def _count(self, account: Account, late: Sequence[OverLimit | None]) -> None:
        for limit, number in Counter(cause.limit for cause in late if cause is not None).items():
            self._telemetry.count("paced", number, channel=account.channel, limit=limit)
