"""Cancellations are read in one place: those made before a commit are known after it, by as few reads as possible."""

import asyncio
from itertools import count

from clarion.deliver.partition.gather_cancelled import CANCELLED_CHECK_MS, CancellationCache
from clarion.domain.limits_processes import CANCELLATIONS_PER_READ_MAX
from clarion.ports.stage_store import Committed
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


def test_cancellations_in_a_commits_answer_need_no_read(directory):
    async def scenario(store: Store, cancelled: CancellationCache) -> None:
        clock = World(directory).clock
        store.ids.append(NOTIFICATION)
        await cancelled.update(Committed([], await store.cancellations_after(cancelled.sequence)), clock.monotonic_ms())
        assert cancelled.cancelled_of([DELIVERY, bytes(24)]) == {NOTIFICATION}
        assert cancelled.sequence == 1
        await cancelled.refresh()
        assert store.reads == 1, "the answer of a recent commit is fresh enough"

    run(scenario(store := Store(), CancellationCache(store, World(directory).clock)))  # type: ignore[arg-type]


def test_late_commit_answers_revert_nothing(directory):
    async def scenario(store: Store, cancelled: CancellationCache) -> None:
        late = Committed([], (0, []))
        store.ids.append(NOTIFICATION)
        await cancelled.update(Committed([], (1, [NOTIFICATION])), 0)
        await cancelled.update(late, 0)
        assert cancelled.sequence == 1
        assert cancelled.cancelled_of([DELIVERY]) == {NOTIFICATION}

    run(scenario(store := Store(), CancellationCache(store, World(directory).clock)))  # type: ignore[arg-type]


def test_knowledge_is_refreshed_when_it_is_old(directory):
    async def scenario(store: Store, cancelled: CancellationCache) -> None:
        for _ in range(3):
            await cancelled.refresh()
        assert store.reads == 1
        await asyncio.sleep(CANCELLED_CHECK_MS / 1000)
        await asyncio.gather(*(cancelled.refresh() for _ in range(10)))
        assert store.reads == 2

    run(scenario(store := Store(), CancellationCache(store, World(directory).clock)))  # type: ignore[arg-type]


def test_a_store_far_behind_is_read_to_its_end(directory):
    async def scenario(store: Store, cancelled: CancellationCache) -> None:
        numbers = count()
        store.ids = [next(numbers).to_bytes(16, "big") for _ in range(CANCELLATIONS_PER_READ_MAX)] + [NOTIFICATION]
        await cancelled.update(Committed([], await store.cancellations_after(0)), 0)
        assert cancelled.cancelled_of([DELIVERY]) == {NOTIFICATION}

    run(scenario(store := Store(), CancellationCache(store, World(directory).clock)))  # type: ignore[arg-type]
