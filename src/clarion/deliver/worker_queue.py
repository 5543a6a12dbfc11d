"""The deliveries of a channel that wait for a sender. No account, however slow, can occupy all senders."""

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
"""One sender in this number is beyond the reach of a single account."""
STUCK_MS: Final = 2_000
"""When no call of an account that occupies all its senders ends for this long, the deliveries behind them are
deferred."""

Key = tuple[str, str]


class QueuedDelivery(NamedTuple):
    """A waiting delivery; it sorts before those of less urgent lanes and those that came later."""

    lane: int
    arrival: int
    consumer: PartitionConsumer
    work: Work


class SendQueue:
    """Deliveries by lane, then by arrival; at most `each` of one account at a time."""

    def __init__(self, each: int, clock: Clock) -> None:
        self._each = each
        self._clock = clock
        self._arrivals = count()
        self._ready: asyncio.PriorityQueue[QueuedDelivery] = asyncio.PriorityQueue()
        self._calls: Counter[Key] = Counter()
        self._by_account: dict[Key, list[QueuedDelivery]] = {}
        self._moved_ms: dict[Key, int] = {}

    def put(self, consumer: PartitionConsumer, work: Work) -> None:
        """Add a delivery."""
        key = _key(work)
        one = QueuedDelivery(LANES.index(work.lane), next(self._arrivals), consumer, work)
        if self._calls[key] < self._each:
            self._calls[key] += 1
            self._ready.put_nowait(one)
            return
        if key not in self._by_account:
            self._moved_ms[key] = self._clock.monotonic_ms()
        heapq.heappush(self._by_account.setdefault(key, []), one)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is being sent."""
        return not self._calls

    async def get(self) -> QueuedDelivery:
        """Return the next delivery to send; wait until there is one."""
        return await self._ready.get()

    def done(self, one: QueuedDelivery) -> None:
        """Note that a delivery has its result: the next one of its account may be sent."""
        key = _key(one.work)
        waiting = self._by_account.get(key)
        if waiting:
            self._moved_ms[key] = self._clock.monotonic_ms()
            self._ready.put_nowait(heapq.heappop(waiting))
            if not waiting:
                self._forget(key)
            return
        self._calls[key] -= 1
        if not self._calls[key]:
            del self._calls[key]

    def take_stuck(self) -> list[QueuedDelivery]:
        """Remove and return the deliveries that wait behind accounts of which no call has ended for `STUCK_MS`."""
        before_ms = self._clock.monotonic_ms() - STUCK_MS
        found: list[QueuedDelivery] = []
        for key in [key for key, moved_ms in self._moved_ms.items() if moved_ms <= before_ms]:
            found += self._by_account[key]
            self._forget(key)
        return found

    def _forget(self, key: Key) -> None:
        del self._by_account[key]
        del self._moved_ms[key]


def _key(work: Work) -> Key:
    return work.row.tenant, "" if work.account is None else work.account.name
