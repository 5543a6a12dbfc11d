"""Caches of planning between steps: frames read ahead, definitions, and cancellations."""

from typing import Any

import pytest

from clarion.domain.channel import Lane
from clarion.domain.content import Category
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.schedule import Schedule
from clarion.domain.workflow import Workflow
from clarion.journal import topics
from clarion.journal.events import AcceptedFrame
from clarion.plan import gather_cancelled, gather_frames
from clarion.plan.gather_cancelled import CancellationLog
from clarion.plan.gather_definitions import DefinitionCache
from clarion.plan.gather_frames import FrameReader
from clarion.plan.gather_waits import WaitGatherer
from clarion.plan.wait_facts import CATEGORIES, DEFINITIONS, NewCancellations, Unreadable, WaitFacts
from clarion.plan.work import work_of
from clarion.plan.workflow.instance_step import CANCELLATIONS_READ_CELL
from clarion.ports.directory import Defined
from clarion.ports.journal_cells import Cell
from clarion.ports.stage_store import AcceptState, Cancellation, Lease, PlanState, StageResult
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import VirtualClock
from tests.stages.virtual import run
from tests.stages.world import TENANT, Notes, World


class ReadRecorder(MemoryJournal):
    """A journal that records its reads."""

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.places: list[tuple[str, int]] = []
        self.brought = self.asked = 0

    async def read_many(self, places: Any, limit_frames: int = 64) -> Any:
        found = await super().read_many(places, limit_frames)
        self.places += [place[:2] for place in places]
        self.brought += sum(map(len, found))
        return found

    async def cancellations_after(self, sequence: int) -> tuple[int, list[bytes]]:
        self.asked += 1
        return await super().cancellations_after(sequence)


FRAMES_READ = 64


async def lease_of(journal: MemoryJournal, partition: int = 0) -> Lease:
    lease = await journal.acquire(topics.GROUP_PLAN, partition, "planner", 10_000)
    assert lease is not None
    return lease


def test_frames_are_read_once_and_urgent_ones_still_come_first(directory: Any):
    async def scenario() -> None:
        world = World(directory, journal=ReadRecorder)
        journal: Any = world.journal
        frames, lease = FrameReader(journal, journal, Notes(), 2), await lease_of(world.journal)
        accepted = [await world.accept("accepted-1", lane=Lane.BULK) for _ in range(5)]

        async def step() -> list[tuple[Lane, bytes]]:
            await frames.read([lease])
            found = frames.next(0)
            frames.advance(0, found)
            return [
                (lane, event.notification_ids[0]) for lane, event in found.batch if isinstance(event, AcceptedFrame)
            ]

        assert await step() == [(Lane.BULK, id_) for id_ in accepted[:2]]
        urgent = await world.accept("accepted-2", lane=Lane.CRITICAL)
        journal.places.clear()
        assert await step() == [(Lane.CRITICAL, urgent), (Lane.BULK, accepted[2])]
        assert (topics.accepted(Lane.CRITICAL), 0) in journal.places
        assert (topics.accepted(Lane.BULK), 0) not in journal.places, "enough frames are read ahead"
        assert await step() == [(Lane.BULK, id_) for id_ in accepted[3:]]
        assert await step() == []
        assert journal.brought == len(accepted) + 1

    run(scenario())


def test_streams_of_which_nothing_was_found_are_read_again_when_they_grew(directory: Any):
    async def scenario() -> None:
        world = World(directory, journal=ReadRecorder)
        journal: Any = world.journal
        frames, lease = FrameReader(journal, journal, Notes(), 100), await lease_of(world.journal)
        watch = journal.watch(topics.GROUP_TOPICS[topics.GROUP_PLAN], [0])
        await frames.read([lease], watch.grown)
        journal.places.clear()
        await frames.read([lease], watch.grown)
        assert journal.places == [], "nothing grew"
        accepted = await world.accept("accepted-1", lane=Lane.HIGH)
        await frames.read([lease], watch.grown)
        assert journal.places == [(topics.accepted(Lane.HIGH), 0)]
        ((_, event),) = frames.next(0).batch
        assert isinstance(event, AcceptedFrame)
        assert event.notification_ids == [accepted]
        again = await lease_of(world.journal)
        journal.places.clear()
        await frames.read([again], watch.grown)
        assert len(journal.places) == len(topics.GROUP_TOPICS[topics.GROUP_PLAN]), (
            "under another lease nothing is cached"
        )

    run(scenario())


def test_many_recipients_fill_a_batch_as_many_notifications_do(directory: Any):
    async def scenario() -> None:
        world = World(directory)
        frames, lease = FrameReader(world.journal, world.journal, Notes(), 4), await lease_of(world.journal)
        for _ in range(4):
            await world.accept("accepted-1", "accepted-2")
        await frames.read([lease])
        assert len(frames.next(0).batch) == 2

    run(scenario())


def test_large_frames_are_not_read_far_ahead(directory: Any, monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        world = World(directory, journal=ReadRecorder)
        journal: Any = world.journal
        frames, lease = FrameReader(journal, journal, Notes(), 100), await lease_of(journal)
        monkeypatch.setattr(gather_frames, "FRAMES_AHEAD_BYTES_MAX", 1)
        for _ in range(150):
            await world.accept(*["accepted"] * 100)
        for step in range(1, 11):
            await frames.read([lease])
            frames.advance(0, frames.next(0))
            assert journal.brought <= step + FRAMES_READ
        await world.accept("accepted", lane=Lane.CRITICAL)
        await frames.read([lease])
        assert frames.next(0).batch[0][0] is Lane.CRITICAL

    run(scenario())


def test_frames_of_a_partition_planned_by_another_worker_are_read_again(directory: Any):
    async def scenario() -> None:
        world = World(directory)
        frames, lease = FrameReader(world.journal, world.journal, Notes(), 1), await lease_of(world.journal)
        for _ in range(3):
            await world.accept("accepted-1")
        await frames.read([lease])
        assert await world.planner(batch_events=2).step(0, lease) == 2
        again = await lease_of(world.journal)
        await frames.read([again])
        (position,) = frames.next(0).read.values()
        assert position.offset == 3

    run(scenario())


class StubDirectory:
    """Revisions of tenants."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.learned = 0

    def revision(self, tenant: str) -> int:
        return self.numbers.get(tenant, 0)

    def is_current(self) -> bool:
        return self.learned > 0

    async def refresh(self) -> None:
        self.learned += 1


VERSION = (TENANT, Workflow, "story", 1)
POLICY = (TENANT, Policy, POLICY_KEY, None)
NEWS = (TENANT, "news")


def test_definitions_are_cached_until_one_of_the_tenant_changes():
    stub: Any = StubDirectory()
    stub.learned = 1
    known = DefinitionCache(stub)
    kept = known.of([TENANT, "other"])
    known.add(
        kept, {DEFINITIONS: {VERSION: Defined("story", 1, None), POLICY: None}, CATEGORIES: {NEWS: Category("news")}}
    )
    facts = WaitFacts(0, 1, {}, cached=known.of([TENANT]))
    assert facts.definition(*VERSION).version == 1
    assert facts.definition(TENANT, Policy, POLICY_KEY) is None
    assert facts.category(*NEWS) == Category("news")
    assert not WaitFacts(0, 1, {}, cached=known.of(["other"])).knows(CATEGORIES, NEWS)
    stub.numbers["other"] = 1
    assert facts.knows(CATEGORIES, NEWS)
    stub.numbers[TENANT] = 1
    assert not WaitFacts(0, 1, {}, cached=known.of([TENANT])).knows(CATEGORIES, NEWS)
    assert facts.knows(CATEGORIES, NEWS), "facts handed out earlier stay"


def test_cached_definitions_are_used_only_when_current():
    async def scenario() -> None:
        stub: Any = StubDirectory()
        nothing: Any = None
        journal = MemoryJournal(VirtualClock(), 1)
        reader = WaitGatherer(journal, stub, nothing, nothing, nothing)
        lease = await lease_of(journal)
        for _ in range(2):
            await reader.gather(work_of([], 0), lease, 0)
        assert stub.learned == 1

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (CATEGORIES, NEWS, None),
        (CATEGORIES, NEWS, Unreadable(ValueError())),
        (DEFINITIONS, VERSION, None),
        (DEFINITIONS, VERSION, Unreadable(ValueError())),
        (DEFINITIONS, (TENANT, Workflow, "story", None), Defined("story", 1, None)),
        (DEFINITIONS, (TENANT, Schedule, "daily", None), Defined("daily", 1, None)),
    ],
)
def test_volatile_or_missing_facts_are_not_cached(kind: str, key: Any, value: Any):
    stub: Any = StubDirectory()
    known = DefinitionCache(stub)
    kept = known.of([TENANT])
    known.add(kept, {kind: {key: value}})
    assert kept == {TENANT: {}}


def subject(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def cancel(journal: MemoryJournal, *numbers: int) -> None:
    removed = [Cancellation(TENANT, subject(number), 0) for number in numbers]
    await journal.commit(StageResult(accept_state=AcceptState(cancellations=removed)))


def test_a_partition_processes_each_cancellation_once_without_reads():
    async def scenario() -> None:
        journal = ReadRecorder(VirtualClock(), 1)
        cancelled, lease = CancellationLog(journal), await lease_of(journal)
        for number in (1, 2):
            await cancel(journal, number)
            await cancelled.refresh([lease])
        asked = journal.asked
        assert cancelled.needs_cancellations(lease)
        assert await cancelled.new_cancellations(lease) == NewCancellations(2, (subject(1), subject(2)))
        assert cancelled.needs_cancellations(lease), "nothing is durable yet"
        cancelled.mark_read(lease)
        assert not cancelled.needs_cancellations(lease) and await cancelled.new_cancellations(lease) is None
        await cancel(journal, 3)
        await cancelled.refresh([lease])
        assert await cancelled.new_cancellations(lease) == NewCancellations(3, (subject(3),))
        assert journal.asked == asked + 1
        assert cancelled.cancelled_of([subject(1), subject(4)]) == {subject(1)}

    run(scenario())


def test_a_new_holder_knows_the_cancellations_its_partition_processed():
    """A new request is looked up among the known cancellations; the partition does not process these again."""

    async def scenario() -> None:
        journal = ReadRecorder(VirtualClock(), 1)
        cancelled = CancellationLog(journal)
        await cancelled.refresh()
        await cancel(journal, 1, 2)
        read_up_to = Cell(0, CANCELLATIONS_READ_CELL, (1).to_bytes(8, "big"))
        await journal.commit(StageResult(plan_state=PlanState(cells=[read_up_to])))
        lease = await lease_of(journal)
        assert await cancelled.new_cancellations(lease) == NewCancellations(2, (subject(1), subject(2)))
        assert cancelled.cancelled_of([subject(1), subject(2)]) == {subject(1), subject(2)}

    run(scenario())


def test_forgotten_cancellations_are_read_for_partitions_far_behind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather_cancelled, "CANCELLED_KEPT_MAX", 2)

    async def scenario() -> None:
        journal = ReadRecorder(VirtualClock(), 1)
        cancelled, lease = CancellationLog(journal), await lease_of(journal)
        for number in (1, 2, 3, 4):
            await cancel(journal, number)
            await cancelled.refresh([lease])
        assert cancelled.cancelled_of(map(subject, range(6))) == {subject(3), subject(4)}
        assert cancelled.needs_cancellations(lease)
        assert await cancelled.new_cancellations(lease) == NewCancellations(4, tuple(map(subject, (1, 2, 3, 4))))

    run(scenario())


def test_repeated_cancellations_are_forgotten_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather_cancelled, "CANCELLED_KEPT_MAX", 5)

    async def scenario() -> None:
        journal = ReadRecorder(VirtualClock(), 1)
        cancelled = CancellationLog(journal)
        for _ in range(20):
            await cancel(journal, 1)
            await cancelled.refresh()
            assert len(cancelled._learned) <= 5
            assert cancelled.cancelled_of([subject(1)])

    run(scenario())


def test_one_step_processes_at_most_one_read_of_cancellations(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather_cancelled, "CANCELLATIONS_PER_READ_MAX", 3)

    async def scenario() -> None:
        journal = ReadRecorder(VirtualClock(), 1)
        cancelled, lease = CancellationLog(journal), await lease_of(journal)
        for numbers in ((1, 2), (3, 4), (5,)):
            await cancel(journal, *numbers)
            await cancelled.refresh([lease])
        found = []
        while (new_cancellations := await cancelled.new_cancellations(lease)) is not None:
            found.append(len(new_cancellations.subjects))
            cancelled.mark_read(lease)
        assert found == [2, 3]

    run(scenario())
