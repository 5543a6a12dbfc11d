"""The reader of instances against the product's real stores."""

from pathlib import Path

import pytest

from clarion.domain import ids
from clarion.domain.history import INSTANCE_ENDINGS, Changes, Progress
from clarion.plan.workflow.instance import INSTANCE_CELL
from clarion.ports.journal_cells import Cell
from clarion.ports.stage_store import PlanState, StageResult
from clarion_lab.chaos.rows import Rows, of_file, of_server
from clarion_lab.chaos.workflow_store import ENDINGS, EventCounts, count_all_events, count_events, open_cells
from clarion_lab.machine.engines import postgres_folders
from tests.contract.journals import BACKENDS, VirtualClock
from tests.contract.states import STATES, shut
from tests.engines.postgres import SUPERUSER, as_role, database_of

NOTIFICATION = ids.notification_id(1_000, 0, bytes(range(9)))
RUNS = [NOTIFICATION + bytes(7) + bytes([number]) for number in range(3)]


def did(run: int, *events: str) -> list[Progress]:
    return [Progress(RUNS[run], NOTIFICATION, "t", "u", "w", 1, "s", event, at, "") for at, event in enumerate(events)]


def test_stored_words_are_those_of_the_product() -> None:
    assert set(INSTANCE_ENDINGS) == ENDINGS


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["started", "step", "completed"], EventCounts(1, 0)),
        (["started", "waiting"], EventCounts(0, 0)),
        (["started", "merged", "completed"], EventCounts(2, 1)),
        (["started", "cancelled", "step"], EventCounts(1, 1)),
        ([], EventCounts(0, 0)),
    ],
)
def test_ends_and_later_events_are_counted(events: list[str], expected: EventCounts) -> None:
    assert count_events(events) == expected


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.engines)])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rows_of(engine: str, path: Path, file: str, schema: str) -> Rows:
    if engine == "sqlite":
        return of_file(path / file)
    return of_server(postgres_folders()[0] / "psql", as_role(database_of(path), SUPERUSER), schema)


async def test_instances_are_read_from_the_real_store(engine: str, tmp_path: Path) -> None:
    state = STATES[engine](tmp_path)
    await state.ledger.apply(Changes(progress=[*did(0, "started", "completed"), *did(1, "started", "waiting")]), [])
    await state.ledger.apply(Changes(progress=did(0, "failed")), [])
    await shut(state)
    assert count_all_events(rows_of(engine, tmp_path, "state.db", "public")) == {
        RUNS[0].hex(): EventCounts(2, 1),
        RUNS[1].hex(): EventCounts(0, 0),
    }


async def test_open_instances_are_read_from_the_real_journal(engine: str, tmp_path: Path) -> None:
    journal = BACKENDS[engine](tmp_path, VirtualClock())
    cells = [Cell(0, INSTANCE_CELL + RUNS[0], b"x"), Cell(0, INSTANCE_CELL + RUNS[1], b"x"), Cell(0, b"c", b"y")]
    await journal.commit(StageResult(plan_state=PlanState(cells=cells)))
    await journal.close()
    assert open_cells(rows_of(engine, tmp_path, "journal.db", "journal")) == {NOTIFICATION.hex(): 2}
