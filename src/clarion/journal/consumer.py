"""Which partitions of a group this process consumes: leases taken by preference, renewed, lent and offered back.

Worker `index` of `count` prefers the partitions `p` with `p % count == index` and asks for them at every step. Others it
only borrows, once they have been free for longer than a worker takes to come back; after `LEASE_LOAN_MS` it offers them
to whoever prefers them by letting go for a while. Workers need to know nothing of each other but their number.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from clarion.domain.errors import Overloaded
from clarion.domain.limits import LEASE_LOAN_MS, LEASE_STEP_MS, LEASE_TTL_MS_DEFAULT
from clarion.journal.watch import woken_by
from clarion.ports.clock import Clock
from clarion.ports.metering import together
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
        keeper: "LeaseKeeper | None" = None,
    ) -> None:
        """With a `keeper`, `run` leaves renewing to it."""
        self._store = store
        self._keeper = keeper
        self._group = group
        self._owner = owner
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._leases: dict[int, Lease] = {}
        self._until_ms: dict[int, int] = {}
        self._return_ms: dict[int, int] = {}
        self._is_over = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when what is held has changed by a step."""
        self._preferred = [p for p in range(store.partitions) if p % count == index % count]
        self._shift_ms = shift_ms(index, count, ttl_ms)
        # A foreign partition is first asked for when its own worker has had the time to start.
        first_ask_ms = clock.monotonic_ms() + ttl_ms
        self._ask_ms = {p: first_ask_ms for p in range(store.partitions) if p not in self._preferred}

    def held(self) -> dict[int, Lease]:
        """Return the leases that are good now, by partition."""
        now_ms = self._clock.monotonic_ms()
        return {p: lease for p, lease in self._leases.items() if self._until_ms[p] > now_ms}

    async def run(self, stop: asyncio.Event) -> None:
        """Keep leases until `stop` is set, then give them back. Without a keeper, raises what the store raises, but for
        `Overloaded`: that is tried again at the next step, and a lease that runs out meanwhile is not `held` any more."""
        try:
            if self._keeper is not None:
                with self._keeper.keeping(self):
                    await stop.wait()
            else:
                await LeaseKeeper(self._store, self._clock, self._ttl_ms, self._shift_ms, self).run(stop)
        finally:
            self._is_over = True
            with suppress(Overloaded):
                await self._release(list(self._leases))

    async def step(self) -> None:
        """Renew what is held, offer back what was borrowed long enough, ask for what is missing."""
        await LeaseKeeper(self._store, self._clock, self._ttl_ms, self._shift_ms, self).step()

    @property
    def leases(self) -> Collection[Lease]:
        """The leases to renew, whether or not they are good now."""
        return self._leases.values()

    @property
    def rests(self) -> bool:
        """Whether everything is held that this worker prefers, and nothing more: then there is only to renew."""
        return self._leases.keys() == set(self._preferred)

    def renewed(self, kept: Collection[Lease], until_ms: int) -> None:
        """Take that only these are held any more, until a time on the monotonic clock."""
        self._leases = {lease.partition: lease for lease in kept}
        self._until_ms = dict.fromkeys(self._leases, until_ms)

    async def seek(self) -> None:
        """Offer back what was borrowed long enough, ask for what is missing."""
        await self._offer_back()
        now_ms = self._clock.monotonic_ms()
        due = [p for p, ask_ms in self._ask_ms.items() if ask_ms <= now_ms and p not in self._leases]
        for partition in due:
            self._ask_ms[partition] = now_ms + self._ttl_ms
        for partition in (*(p for p in self._preferred if p not in self._leases), *due):
            await self._ask(partition)

    async def _ask(self, partition: int) -> None:
        asked_ms = self._clock.monotonic_ms()
        lease = await self._store.acquire(self._group, partition, self._owner, self._ttl_ms)
        if lease is not None and self._is_over:
            await self._store.release([lease])
        elif lease is not None:
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


class LeaseKeeper:
    """Renews the leases of several groups by one call to the store, and lets each ask for what is missing.

    Steps come at the same moments for all workers, but shifted by `shift_ms`, so that none waits for another's commit. A
    keeper whose groups have only to renew does so more rarely.
    """

    def __init__(self, store: StageStore, clock: Clock, ttl_ms: int, shift_ms: int, *groups: LeasedPartitions) -> None:
        self._store = store
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._shift_ms = shift_ms
        self._groups = set(groups)
        self._joined = asyncio.Event()

    @contextmanager
    def keeping(self, group: LeasedPartitions) -> Iterator[None]:
        """Keep the leases of one more group meanwhile."""
        self._groups.add(group)
        self._joined.set()
        try:
            yield
        finally:
            self._groups.discard(group)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep leases until `stop` is set. Raises what the store raises, but for `Overloaded`: that is tried again."""
        async with woken_by(stop, self._joined.set):
            while not stop.is_set():
                self._joined.clear()
                try:
                    await self.step()
                    pause_ms = self.pause_ms()
                except Overloaded:
                    pause_ms = min(self.pause_ms(), LEASE_STEP_MS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._joined.wait(), pause_ms / 1000)

    async def step(self) -> None:
        """Renew what is held and ask for what is missing; whoever holds something else then hears of it."""
        groups = list(self._groups)
        before = [set(group.leases) for group in groups]
        try:
            await self._renew(groups)
            await together(*(group.seek() for group in groups))
        finally:
            for group, leases in zip(groups, before, strict=True):
                if leases != set(group.leases):
                    group.on_change()

    async def _renew(self, groups: Collection[LeasedPartitions]) -> None:
        leases = [lease for group in groups for lease in group.leases]
        if not leases:
            return
        until_ms = self._clock.monotonic_ms() + self._ttl_ms
        kept = set(await self._store.renew(leases, self._ttl_ms))
        for group in groups:
            group.renewed([lease for lease in group.leases if lease in kept], until_ms)

    def pause_ms(self) -> int:
        """Return how long to wait for the next step."""
        step_ms = renewal_ms(self._ttl_ms) if all(group.rests for group in self._groups) else LEASE_STEP_MS
        passed_ms = (self._clock.monotonic_ms() + self._shift_ms) % step_ms
        return max(step_ms - passed_ms, LEASE_STEP_MS // 10)


def renewal_ms(ttl_ms: int) -> int:
    """Return how often leases of so long a life are renewed."""
    return max(ttl_ms // RENEWALS_PER_TTL // LEASE_STEP_MS, 1) * LEASE_STEP_MS


def shift_ms(index: int, count: int, ttl_ms: int) -> int:
    """Return by how much the steps of worker `index` of `count` come before those of the first one."""
    return renewal_ms(ttl_ms) * (index % count) // count


class LeasedWatch:
    """Watches topics in the partitions that one group leases. News is also that another lease is held, or not any more."""

    def __init__(self, streams: Streams, topics: Collection[str], leases: LeasedPartitions) -> None:
        self._streams = streams
        self._topics = topics
        self._leases = leases
        self._partitions: Collection[int] = tuple(leases.held())
        self._watch: Watch = streams.watch(topics, self._partitions)
        leases.on_change = self.wake

    def follow(self) -> None:
        """Watch what is leased now. Called before what is leased is read."""
        held, before = self._leases.held().keys(), self._watch
        if held == set(self._partitions):
            return
        self._partitions = tuple(held)
        self._watch = self._streams.watch(self._topics, self._partitions)
        self._watch.grown.update(before.grown)
        if before.is_woken:
            self._watch.wake()

    async def wait(self, timeout_ms: int) -> bool:
        """Wait for news since `follow` was called; False on time-out."""
        return await self._watch.wait(timeout_ms)

    @property
    def grown(self) -> set[tuple[str, int]]:
        """Streams that grew since `follow` was called first for what is leased. Whoever reads some takes them out."""
        return self._watch.grown

    @property
    def is_woken(self) -> bool:
        """Whether there is news since `follow` was called."""
        return self._watch.is_woken

    def wake(self) -> None:
        """End the `wait` under way, or the next one at once."""
        self._watch.wake()
