"""The reader of instances against the product's real stores."""

from pathlib import Path

import pytest

from clarion.domain import ids
from clarion.domain.history import INSTANCE_ENDINGS, Changes, Progress
from clarion.ops.clock import SystemClock
from clarion.plan.workflow.instance import INSTANCE_CELL
from clarion.ports.journal_cells import Cell
from clarion.ports.stage_store import PlanState, StageResult
from clarion_lab.chaos.workflow_store import ENDINGS, Course, course, courses, open_cells
from tests.contract.journals import BACKENDS, VirtualClock
from tests.contract.states import STATES

NOTIFICATION = ids.notification_id(1_000, 0, bytes(range(9)))
RUNS = [NOTIFICATION + bytes(7) + bytes([number]) for number in range(3)]


def did(run: int, *events: str) -> list[Progress]:
    return [Progress(RUNS[run], NOTIFICATION, "t", "u", "w", 1, "s", event, at, "") for at, event in enumerate(events)]


def test_words_on_disk_are_the_products_own() -> None:
    assert set(INSTANCE_ENDINGS) == ENDINGS


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["started", "step", "completed"], Course(1, 0)),
        (["started", "waiting"], Course(0, 0)),
        (["started", "merged", "completed"], Course(2, 1)),
        (["started", "cancelled", "step"], Course(1, 1)),
        ([], Course(0, 0)),
    ],
)
def test_endings_and_what_comes_after_them_are_counted(events: list[str], expected: Course) -> None:
    assert course(events) == expected


async def test_instances_are_read_from_the_real_store(tmp_path: Path) -> None:
    state = STATES["sqlite"](tmp_path, SystemClock())
    await state.apply(Changes(progress=[*did(0, "started", "completed"), *did(1, "started", "waiting")]), [])
    await state.apply(Changes(progress=did(0, "failed")), [])
    state.close()
    assert courses(tmp_path / "state.db") == {RUNS[0].hex(): Course(2, 1), RUNS[1].hex(): Course(0, 0)}


async def test_open_instances_are_read_from_the_real_journal(tmp_path: Path) -> None:
    journal = BACKENDS["sqlite"](tmp_path, VirtualClock())
    cells = [Cell(0, INSTANCE_CELL + RUNS[0], b"x"), Cell(0, INSTANCE_CELL + RUNS[1], b"x"), Cell(0, b"c", b"y")]
    await journal.commit(StageResult(plan_state=PlanState(cells=cells)))
    await journal.close()
    assert open_cells(tmp_path / "journal.db") == {NOTIFICATION.hex(): 2}
