"""The partitions of a group that this process consumes: leases are acquired by preference, renewed, borrowed and
returned.

Worker `index` of `count` prefers the partitions `p` with `p % count == index` and tries to acquire them at every step.
It borrows other partitions only after they have been free for longer than a worker takes to restart. After
`LEASE_LOAN_MS` it releases a borrowed partition for a while, so that the worker that prefers it can acquire it. Workers
need to know nothing of each other but their number.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import LEASE_LOAN_MS, LEASE_STEP_MS, LEASE_TTL_MS_DEFAULT
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Lease, StageStore
from clarion.ports.streams import Streams, Watch
from clarion.runtime.metering import together
from clarion.runtime.watch import woken_by

RENEWALS_PER_TTL: Final = 2
"""The least number of renewals within a lease's time to live."""
_OFFER_MS: Final = 3 * LEASE_STEP_MS


class LeasedPartitions:
    """The leases that one worker holds for one group.

    `held` omits a lease that expired by this process's clock, even before the store treats it as expired: a process
    that slept past its lease stops by itself. A lease acquired again has a new fence, so compare leases, not
    partitions.
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
        renewer: "LeaseRenewer | None" = None,
    ) -> None:
        """With a `renewer`, `run` leaves renewals to it."""
        self._store = store
        self._renewer = renewer
        self._group = group
        self._owner = owner
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._leases: dict[int, Lease] = {}
        self._until_ms: dict[int, int] = {}
        self._return_ms: dict[int, int] = {}
        self._is_over = False
        self.on_change: Callable[[], None] = lambda: None
        """Called after a step that changed which leases are held."""
        self._preferred = [p for p in range(store.partitions) if p % count == index % count]
        self._shift_ms = shift_ms(index, count, ttl_ms)
        # Partitions that this worker does not prefer are left alone until the workers that prefer them have had time to
        # start.
        first_ask_ms = clock.monotonic_ms() + ttl_ms
        self._ask_ms = {p: first_ask_ms for p in range(store.partitions) if p not in self._preferred}

    def held(self) -> dict[int, Lease]:
        """Return the leases that have not expired, by partition."""
        now_ms = self._clock.monotonic_ms()
        return {p: lease for p, lease in self._leases.items() if self._until_ms[p] > now_ms}

    async def run(self, stop: asyncio.Event) -> None:
        """Hold leases until `stop` is set, then release them. Without a renewer, raises every error of the store except
        `Overloaded`: that step is retried, and a lease that expires meanwhile is no longer `held`."""
        try:
            if self._renewer is not None:
                with self._renewer.renewing(self):
                    await stop.wait()
            else:
                await LeaseRenewer(self._store, self._clock, self._ttl_ms, self._shift_ms, self).run(stop)
        finally:
            self._is_over = True
            with suppress(Overloaded):
                await self._release(list(self._leases))

    async def step(self) -> None:
        """Renew the leases, release those that were borrowed long enough and try to acquire the missing ones."""
        await LeaseRenewer(self._store, self._clock, self._ttl_ms, self._shift_ms, self).step()

    @property
    def leases(self) -> Collection[Lease]:
        """The leases to renew, expired ones included."""
        return self._leases.values()

    @property
    def is_complete(self) -> bool:
        """Whether the worker holds exactly the partitions it prefers, so that renewal is all there is to do."""
        return self._leases.keys() == set(self._preferred)

    def keep_only(self, kept: Collection[Lease], until_ms: int) -> None:
        """Replace the leases by these, valid until a time on the monotonic clock."""
        self._leases = {lease.partition: lease for lease in kept}
        self._until_ms = dict.fromkeys(self._leases, until_ms)

    async def acquire_missing(self) -> None:
        """Release leases that were borrowed long enough and try to acquire the missing ones."""
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


class LeaseRenewer:
    """Renews the leases of several groups by one call to the store, and lets each group acquire its missing leases.

    All workers step at the same period, each shifted by `shift_ms`, so that no worker waits for another's commit. A
    renewer whose groups are all complete steps less often.
    """

    def __init__(self, store: StageStore, clock: Clock, ttl_ms: int, shift_ms: int, *groups: LeasedPartitions) -> None:
        self._store = store
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._shift_ms = shift_ms
        self._groups = set(groups)
        self._joined = asyncio.Event()

    @contextmanager
    def renewing(self, group: LeasedPartitions) -> Iterator[None]:
        """Renew the leases of one more group within the block."""
        self._groups.add(group)
        self._joined.set()
        try:
            yield
        finally:
            self._groups.discard(group)

    async def run(self, stop: asyncio.Event) -> None:
        """Renew leases until `stop` is set. Raises every error of the store except `Overloaded`, which is retried."""
        async with woken_by(stop, self._joined.set):
            while not stop.is_set():
                self._joined.clear()
                try:
                    await self.step()
                    pause_ms = self.pause_ms()
                except Overloaded:
                    pause_ms = min(self.pause_ms(), LEASE_STEP_MS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_ms / 1000):
                        await self._joined.wait()

    async def step(self) -> None:
        """Renew the leases, let groups acquire missing ones, and call `on_change` of each group whose leases
        changed."""
        groups = list(self._groups)
        before = [set(group.leases) for group in groups]
        try:
            await self._renew(groups)
            await together(*(group.acquire_missing() for group in groups))
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
            group.keep_only([lease for lease in group.leases if lease in kept], until_ms)

    def pause_ms(self) -> int:
        """Return the time until the next step, in milliseconds."""
        step_ms = renewal_ms(self._ttl_ms) if all(group.is_complete for group in self._groups) else LEASE_STEP_MS
        passed_ms = (self._clock.monotonic_ms() + self._shift_ms) % step_ms
        return max(step_ms - passed_ms, LEASE_STEP_MS // 10)


def renewal_ms(ttl_ms: int) -> int:
    """Return the interval between renewals of leases with this time to live, in milliseconds."""
    return max(ttl_ms // RENEWALS_PER_TTL // LEASE_STEP_MS, 1) * LEASE_STEP_MS


def shift_ms(index: int, count: int, ttl_ms: int) -> int:
    """Return by how many milliseconds the steps of worker `index` of `count` precede those of the first worker."""
    return renewal_ms(ttl_ms) * (index % count) // count


class LeasedWatch:
    """A watch over topics in the partitions that one group leases. A change of the held leases wakes it, too."""

    def __init__(self, streams: Streams, topics: Collection[str], leases: LeasedPartitions) -> None:
        self._streams = streams
        self._topics = topics
        self._leases = leases
        self._partitions: Collection[int] = tuple(leases.held())
        self._watch: Watch = streams.watch(topics, self._partitions)
        leases.on_change = self.wake

    def follow(self) -> None:
        """Watch the partitions leased now. Call it before reading them."""
        held, before = self._leases.held().keys(), self._watch
        if held == set(self._partitions):
            return
        self._partitions = tuple(held)
        self._watch = self._streams.watch(self._topics, self._partitions)
        self._watch.grown.update(before.grown)
        if before.is_woken:
            self._watch.wake()

    async def wait(self, timeout_ms: int) -> bool:
        """Wait until a watched stream has grown or `wake` was called since `follow`. Return False on time-out."""
        return await self._watch.wait(timeout_ms)

    @property
    def grown(self) -> set[tuple[str, int]]:
        """Leased streams that have grown since they were first followed. A reader removes those it has read."""
        return self._watch.grown

    @property
    def is_woken(self) -> bool:
        """Whether a watched stream has grown or `wake` was called since `follow`."""
        return self._watch.is_woken

    def wake(self) -> None:
        """End the current `wait`, or the next one at once."""
        self._watch.wake()
