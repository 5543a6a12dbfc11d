"""One step of planning: it names all its missing facts at once; an unreadable frame stops its partition alone."""

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.schedule import Schedule, ScheduleTo
from clarion.domain.workflow import Workflow
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, AdvanceFrame, IntentFrame, OccurrenceFrame, Recipient, Request
from clarion.journal.schedules import Latest, latest_cell, latest_key
from clarion.languages.cel.expressions import CelExpressions
from clarion.plan.facts import SendFacts
from clarion.plan.gather import step_gatherer
from clarion.plan.notes import Notes
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.schedules.firing import fire
from clarion.plan.step import PlanStepResult, StepFacts, decide
from clarion.plan.wait_facts import CELLS, DEFINITIONS, TOPICS, NewCancellations, Unreadable, WaitFacts
from clarion.plan.work import work_of
from clarion.plan.workflow.instance import INSTANCE_CELL, instance_id
from clarion.ports.directory import Defined
from clarion.ports.stage_store import AcceptState, Cancellation, StageResult
from clarion.ports.streams import Frame
from tests.stages.virtual import run
from tests.stages.world import TENANT, World

NOW_MS = 1_700_000_000_000
EXPRESSIONS = CelExpressions()
DAILY = Schedule(to=ScheduleTo(topic="riders"), template="news", cron="0 9 * * *")


def accepted(number: int, **request: Any) -> AcceptedFrame:
    to = [Recipient(f"u{number}")]
    values = {"template": "", "category": None, "channels": None, "lane": Lane.NORMAL, "data": {}, **request}
    return AcceptedFrame([bytes([number]) * 16], [TENANT], [NOW_MS], [Request(to=to, **values)])


def decided(*frames: Any, waits: WaitFacts) -> PlanStepResult | Need:
    work = work_of([(Lane.NORMAL, frame) for frame in frames], NOW_MS)
    return decide(work, StepFacts(waits, SendFacts()), EXPRESSIONS, NOW_MS)


def test_all_missing_facts_of_a_batch_are_named_at_once():
    ids_ = [instance_id(bytes([n]) * 16, Recipient(f"u{n}")) for n in (1, 2)]
    timer = AdvanceFrame([b"t" * 24], [TENANT], ["timer"], [0], [NOW_MS], [b""])
    fired = OccurrenceFrame([TENANT], ["daily"], [1], [NOW_MS])
    started = [accepted(n, workflow="w", workflow_version=1) for n in (1, 2)]
    need = decided(*started, timer, fired, waits=WaitFacts(0, 1, {}))
    assert isinstance(need, Need)
    assert need.of(CELLS) == {INSTANCE_CELL + id_ for id_ in (*ids_, b"t" * 24)}
    assert need.of(DEFINITIONS) == {(TENANT, Schedule, "daily", None)}


def test_an_empty_batch_decides_nothing():
    result = decided(waits=WaitFacts(0, 1, {}))
    assert isinstance(result, PlanStepResult)
    assert not result.changes()


def test_an_occurrence_is_a_function_of_facts():
    cell = latest_cell(TENANT, "daily", Latest(NOW_MS, NOW_MS, "started"), 0).value
    known = {
        DEFINITIONS: {(TENANT, Schedule, "daily", None): Defined("daily", 1, DAILY)},
        CELLS: {latest_key(TENANT, "daily"): cell},
    }
    frame = OccurrenceFrame([TENANT], ["daily"], [1], [NOW_MS])
    again = fire(frame, WaitFacts(0, 1, known), Notes(), NOW_MS)
    assert not any(again), "it was fired before"
    later = OccurrenceFrame([TENANT], ["daily"], [1], [NOW_MS + 1])
    with pytest.raises(MissingFacts) as missing_facts:
        fire(later, WaitFacts(0, 1, known), Notes(), NOW_MS + 1)
    assert missing_facts.value.need.of("templates") == {(TENANT, "news")}
    removed = {**known, "templates": {(TENANT, "news"): None}, TOPICS: {(TENANT, "riders"): True}}
    notes = Notes()
    fired = fire(later, WaitFacts(0, 1, removed), notes, NOW_MS + 1)
    assert (fired.cursors, len(fired.cells), len(fired.timers)) == ([], 1, 1)
    assert notes.counts == {("occurrences", (("result", "unknown_template"),)): 1}


def test_a_schedule_that_cannot_be_read_costs_itself_alone():
    keys = [(TENANT, Schedule, key, None) for key in ("odd", "gone")]
    facts = WaitFacts(0, 1, {DEFINITIONS: {keys[0]: Unreadable(ValueError("what is this")), keys[1]: None}})
    notes = Notes()
    fired = fire(OccurrenceFrame([TENANT] * 2, ["odd", "gone"], [1, 1], [NOW_MS] * 2), facts, notes, NOW_MS)
    assert [cell.key for cell in fired.cells] == [latest_key(TENANT, "gone")]
    assert [line.event for line in notes.lines] == ["firing_failed"]


def test_a_workflow_that_cannot_be_read_fails_its_instances_alone():
    id_ = instance_id(b"\x01" * 16, Recipient("u1"))
    known = {
        CELLS: {INSTANCE_CELL + id_: None},
        DEFINITIONS: {(TENANT, Workflow, "w", 1): Unreadable(ValueError("what is this"))},
    }
    result = decided(accepted(1, workflow="w", workflow_version=1), waits=WaitFacts(0, 1, known))
    assert isinstance(result, PlanStepResult)
    assert [line.event for line in result.notes.lines] == ["workflow_crashed"]
    assert result.notes.counts["workflow_events", (("event", "failed"),)] == 1
    assert result.cells == []


UNKNOWN = {
    "kind": lambda: _sealed(1, 250),
    "version": lambda: _sealed(250, 1),
    "not of this stage": lambda: encode(IntentFrame("w", 1, 1, "sms", None, 0, [b"d" * 24], [1]), 1),
}


def _sealed(version: int, kind: int) -> bytes:
    """A whole frame of another build."""
    frame = bytearray(encode(accepted(1), 1))
    frame[2:4] = bytes((version, kind))
    frame[8:12] = crc32(frame[12:], crc32(frame[:8])).to_bytes(4, "big")
    return bytes(frame)


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unreadable_frame_stops_only_its_partition(directory: Any, tmp_path: Path, what: str):
    async def scenario() -> None:
        world = World(directory, partitions=2)
        first = await world.accept("accepted-1")
        strange = Frame(topics.accepted(Lane.NORMAL), ids.partition_of(first, 2), 1, UNKNOWN[what]())
        await world.journal.commit(StageResult(frames=[strange]))
        for number in range(2, 6):
            await world.accept(f"accepted-{number}")
        worker = world.planner(batch_events=1)
        planned = []
        for partition in range(2):
            lease = await world.journal.acquire(topics.GROUP_PLAN, partition, "planner", 10_000)
            assert lease is not None
            planned.append([await worker.step(partition, lease) for _ in range(6)])
        here = ids.partition_of(first, 2)
        assert planned[here] == [1, 0, 0, 0, 0, 0]
        assert sum(planned[1 - here]) > 1
        assert world.notes.lines == ["plan_stopped"], "one sentence, once"

    run(scenario())


def test_partitions_without_frames_process_cancellations_read_for_others(directory: Any):
    async def scenario() -> None:
        world = World(directory, partitions=2)
        gatherer = step_gatherer(world.journal, directory, EXPRESSIONS, world.ledger, world.ledger)
        leases = [lease for one in range(2) if (lease := await world.journal.acquire("plan", one, "planner", 10_000))]
        await gatherer.refresh(leases)
        assert not any(map(gatherer.needs_cancellations, leases))
        await world.journal.commit(
            StageResult(accept_state=AcceptState(cancellations=[Cancellation(TENANT, b"c" * 16, NOW_MS)]))
        )
        await gatherer.refresh(leases)
        assert all(map(gatherer.needs_cancellations, leases))
        facts = await gatherer.gather(work_of([], NOW_MS), leases[0], NOW_MS)
        assert facts.waits.cancellations == NewCancellations(1, (b"c" * 16,))
        assert all(map(gatherer.needs_cancellations, leases)), "nothing is durable yet"
        gatherer.advance(leases[0], [])
        assert list(map(gatherer.needs_cancellations, leases)) == [False, True]

    run(scenario())
