"""The deliveries of a channel that wait for a sender. No account can take all senders, however slow its provider is."""

import asyncio
import heapq
from collections import Counter
from itertools import count
from typing import Final, NamedTuple

from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker import PartitionConsumer
from clarion.domain.channel import LANES
from clarion.ports.clock import Clock

SPARE_SHARE: Final = 4
"""One sender in so many is beyond what a single account can take."""
STUCK_MS: Final = 2_000
"""When no call of an account that has all its senders ends for so long, what waits behind them is put off."""

Key = tuple[str, str]


class Waiting(NamedTuple):
    """A delivery that waits, before those of less urgent lanes and those that came later."""

    lane: int
    arrival: int
    consumer: PartitionConsumer
    work: Work


class SendQueue:
    """Deliveries by lane, then as they came; those of one account at most `each` at a time."""

    def __init__(self, each: int, clock: Clock) -> None:
        self._each = each
        self._clock = clock
        self._arrivals = count()
        self._ready: asyncio.PriorityQueue[Waiting] = asyncio.PriorityQueue()
        self._taken: Counter[Key] = Counter()
        self._behind: dict[Key, list[Waiting]] = {}
        self._moved_ms: dict[Key, int] = {}

    def put(self, consumer: PartitionConsumer, work: Work) -> None:
        """Add a delivery."""
        key = _key(work)
        one = Waiting(LANES.index(work.lane), next(self._arrivals), consumer, work)
        if self._taken[key] < self._each:
            self._taken[key] += 1
            self._ready.put_nowait(one)
            return
        if key not in self._behind:
            self._moved_ms[key] = self._clock.monotonic_ms()
        heapq.heappush(self._behind.setdefault(key, []), one)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is being sent."""
        return not self._taken

    async def get(self) -> Waiting:
        """Return the next delivery to send, when there is one."""
        return await self._ready.get()

    def done(self, one: Waiting) -> None:
        """Note that a delivery has its result: the next one of its account may go."""
        key = _key(one.work)
        behind = self._behind.get(key)
        if behind:
            self._moved_ms[key] = self._clock.monotonic_ms()
            self._ready.put_nowait(heapq.heappop(behind))
            if not behind:
                self._forget(key)
            return
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]

    def stuck(self) -> list[Waiting]:
        """Take and return what waits behind accounts of which no call has ended for long."""
        before_ms = self._clock.monotonic_ms() - STUCK_MS
        found: list[Waiting] = []
        for key in [key for key, moved_ms in self._moved_ms.items() if moved_ms <= before_ms]:
            found += self._behind[key]
            self._forget(key)
        return found

    def _forget(self, key: Key) -> None:
        del self._behind[key]
        del self._moved_ms[key]


def _key(work: Work) -> Key:
    return work.row.tenant, "" if work.account is None else work.account.name
