"""Cancellations are learnt in one place: what was cancelled before a call is known after it, by as few reads as can be."""

import asyncio
from itertools import count

from clarion.deliver.partition.gather_cancelled import CANCELLED_CHECK_MS, Cancelled
from clarion.domain.limits import CANCELLATIONS_PER_READ_MAX
from tests.stages.virtual import run
from tests.stages.world import World

DELIVERY = bytes(range(24))
NOTIFICATION = DELIVERY[:16]


class Store:
    """Cancellations by sequence number."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.reads = 0

    async def cancellations_after(self, sequence: int) -> tuple[int, list[bytes]]:
        self.reads += 1
        found = self.ids[sequence : sequence + CANCELLATIONS_PER_READ_MAX]
        return sequence + len(found), found


def test_what_was_cancelled_before_the_call_is_known_after_it(directory):
    async def story(store: Store, cancelled: Cancelled) -> None:
        await cancelled.learn()
        assert cancelled.among([DELIVERY]) == frozenset()
        store.ids.append(NOTIFICATION)
        await cancelled.refresh()
        assert cancelled.among([DELIVERY]) == frozenset(), "what is known is new enough"
        await cancelled.learn()
        assert cancelled.among([DELIVERY, bytes(24)]) == {NOTIFICATION}
        assert store.reads == 2

    run(story(store := Store(), Cancelled(store, World(directory).clock)))  # type: ignore[arg-type]


def test_knowledge_is_refreshed_when_it_is_old(directory):
    async def story(store: Store, cancelled: Cancelled) -> None:
        for _ in range(3):
            await cancelled.refresh()
        assert store.reads == 1
        await asyncio.sleep(CANCELLED_CHECK_MS / 1000)
        await asyncio.gather(*(cancelled.refresh() for _ in range(10)))
        assert store.reads == 2

    run(story(store := Store(), Cancelled(store, World(directory).clock)))  # type: ignore[arg-type]


def test_a_store_far_behind_is_read_to_its_end(directory):
    async def story(store: Store, cancelled: Cancelled) -> None:
        numbers = count()
        store.ids = [next(numbers).to_bytes(16, "big") for _ in range(CANCELLATIONS_PER_READ_MAX)] + [NOTIFICATION]
        await cancelled.learn()
        assert cancelled.among([DELIVERY]) == {NOTIFICATION}

    run(story(store := Store(), Cancelled(store, World(directory).clock)))  # type: ignore[arg-type]
