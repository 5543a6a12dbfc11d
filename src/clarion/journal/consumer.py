"""Which partitions of a group this process consumes: leases taken by preference, renewed, lent and offered back.

Worker `index` of `count` prefers the partitions `p` with `p % count == index` and asks for them at every step. Others it
only borrows, once they have been free for longer than a worker takes to come back; after `LEASE_LOAN_MS` it offers them
to whoever prefers them by letting go for a while. Workers need to know nothing of each other but their number.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from clarion.domain.errors import Overloaded
from clarion.domain.limits import LEASE_LOAN_MS, LEASE_STEP_MS, LEASE_TTL_MS_DEFAULT
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Lease, StageStore
from clarion.ports.streams import Streams, Watch

RENEWALS_PER_TTL: Final = 2
"""How often a lease is renewed, at least, in the time that it would run."""
_OFFER_MS: Final = 3 * LEASE_STEP_MS


class LeasedPartitions:
    """The leases one worker holds for one group.

    `held` leaves out a lease whose time ran out here, even before the store says so: a process that slept past its
    lease stops by itself. A lease taken again has a new fence, so compare leases, not partitions.
    """

    def __init__(
        self,
        store: StageStore,
        group: str,
        owner: str,
        clock: Clock,
        *,
        index: int = 0,
        count: int = 1,
        ttl_ms: int = LEASE_TTL_MS_DEFAULT,
    ) -> None:
        self._store = store
        self._group = group
        self._owner = owner
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._leases: dict[int, Lease] = {}
        self._until_ms: dict[int, int] = {}
        self._return_ms: dict[int, int] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when what is held has changed by a step."""
        self._preferred = [p for p in range(store.partitions) if p % count == index % count]
        self._renew_ms = max(ttl_ms // RENEWALS_PER_TTL // LEASE_STEP_MS, 1) * LEASE_STEP_MS
        self._shift_ms = self._renew_ms * (index % count) // count
        # A foreign partition is first asked for when its own worker has had the time to start.
        first_ask_ms = clock.monotonic_ms() + ttl_ms
        self._ask_ms = {p: first_ask_ms for p in range(store.partitions) if p not in self._preferred}

    def held(self) -> dict[int, Lease]:
        """Return the leases that are good now, by partition."""
        now_ms = self._clock.monotonic_ms()
        return {p: lease for p, lease in self._leases.items() if self._until_ms[p] > now_ms}

    async def run(self, stop: asyncio.Event) -> None:
        """Keep leases until `stop` is set, then give them back. Raises what the store raises, but for `Overloaded`: that
        is tried again at the next step, and a lease that runs out meanwhile is not `held` any more."""
        try:
            while not stop.is_set():
                with suppress(Overloaded):
                    await self.step()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._pause_ms() / 1000)
        finally:
            with suppress(Overloaded):
                await self._release(list(self._leases))

    async def step(self) -> None:
        """Renew what is held, offer back what was borrowed long enough, ask for what is missing."""
        before = set(self._leases.values())
        try:
            await self._take_step()
        finally:
            if before != set(self._leases.values()):
                self.on_change()

    def _pause_ms(self) -> int:
        """Return how long to wait for the next step: all groups of a process make theirs at the same moment, so that one
        commit renews what they hold, and each worker makes its own at another one. A worker that holds what it prefers
        and no more has only to renew, and does so more rarely."""
        rests = len(self._leases) == len(self._preferred) and not any(p in self._ask_ms for p in self._leases)
        step_ms = self._renew_ms if rests else LEASE_STEP_MS
        passed_ms = (self._clock.monotonic_ms() + self._shift_ms) % step_ms
        return max(step_ms - passed_ms, LEASE_STEP_MS // 10)

    async def _take_step(self) -> None:
        await self._renew()
        await self._offer_back()
        now_ms = self._clock.monotonic_ms()
        due = [p for p, ask_ms in self._ask_ms.items() if ask_ms <= now_ms and p not in self._leases]
        for partition in due:
            self._ask_ms[partition] = now_ms + self._ttl_ms
        for partition in (*(p for p in self._preferred if p not in self._leases), *due):
            await self._ask(partition)

    async def _renew(self) -> None:
        if not self._leases:
            return
        until_ms = self._clock.monotonic_ms() + self._ttl_ms
        kept = await self._store.renew(list(self._leases.values()), self._ttl_ms)
        self._leases = {lease.partition: lease for lease in kept}
        self._until_ms = dict.fromkeys(self._leases, until_ms)

    async def _ask(self, partition: int) -> None:
        asked_ms = self._clock.monotonic_ms()
        lease = await self._store.acquire(self._group, partition, self._owner, self._ttl_ms)
        if lease is not None:
            self._leases[partition] = lease
            self._until_ms[partition] = asked_ms + self._ttl_ms
            self._return_ms[partition] = asked_ms + LEASE_LOAN_MS

    async def _offer_back(self) -> None:
        now_ms = self._clock.monotonic_ms()
        loans = [p for p in self._leases if p in self._ask_ms and self._return_ms[p] <= now_ms]
        for partition in loans:
            self._ask_ms[partition] = now_ms + _OFFER_MS
        await self._release(loans)

    async def _release(self, partitions: list[int]) -> None:
        leases = [self._leases.pop(p) for p in partitions]
        if leases:
            await self._store.release(leases)


class LeasedWatch:
    """Watches topics in the partitions that one group leases. News is also that another lease is held, or not any more."""

    def __init__(self, streams: Streams, topics: Collection[str], leases: LeasedPartitions) -> None:
        self._streams = streams
        self._topics = topics
        self._leases = leases
        self._partitions: Collection[int] | None = None
        self._watch: Watch
        self.follow()
        leases.on_change = self.wake

    def follow(self) -> None:
        """Watch what is leased now. Called before what is leased is read."""
        held = self._leases.held().keys()
        if self._partitions is None or held != set(self._partitions):
            self._partitions = tuple(held)
            self._watch = self._streams.watch(self._topics, self._partitions)

    async def wait(self, timeout_ms: int) -> bool:
        """Wait for news since `follow` was called; False on time-out."""
        return await self._watch.wait(timeout_ms)

    def wake(self) -> None:
        """End the `wait` under way, or the next one at once."""
        self._watch.wake()
