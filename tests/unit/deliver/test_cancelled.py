"""Cancellations are learnt in one place: what was cancelled before a commit is known after it, by as few reads as can be."""

import asyncio
from itertools import count

from clarion.deliver.partition.gather_cancelled import CANCELLED_CHECK_MS, Cancelled
from clarion.domain.limits import CANCELLATIONS_PER_READ_MAX
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


def test_what_a_commit_says_was_cancelled_is_known_after_it_without_a_read(directory):
    async def story(store: Store, cancelled: Cancelled) -> None:
        clock = World(directory).clock
        store.ids.append(NOTIFICATION)
        await cancelled.take_up(
            Committed([], await store.cancellations_after(cancelled.sequence)), clock.monotonic_ms()
        )
        assert cancelled.among([DELIVERY, bytes(24)]) == {NOTIFICATION}
        assert cancelled.sequence == 1
        await cancelled.refresh()
        assert store.reads == 1, "what a commit said a moment ago is new enough"

    run(story(store := Store(), Cancelled(store, World(directory).clock)))  # type: ignore[arg-type]


def test_commits_that_answer_late_take_nothing_back(directory):
    async def story(store: Store, cancelled: Cancelled) -> None:
        late = Committed([], (0, []))
        store.ids.append(NOTIFICATION)
        await cancelled.take_up(Committed([], (1, [NOTIFICATION])), 0)
        await cancelled.take_up(late, 0)
        assert cancelled.sequence == 1
        assert cancelled.among([DELIVERY]) == {NOTIFICATION}

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
        await cancelled.take_up(Committed([], await store.cancellations_after(0)), 0)
        assert cancelled.among([DELIVERY]) == {NOTIFICATION}

    run(story(store := Store(), Cancelled(store, World(directory).clock)))  # type: ignore[arg-type]
