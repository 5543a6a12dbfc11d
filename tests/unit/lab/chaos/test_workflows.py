from itertools import islice
from pathlib import Path
from typing import Any

from clarion_lab.chaos.instances import Reaction, Tale
from clarion_lab.chaos.journeys import INSTANCES, askings
from clarion_lab.chaos.ledger import Answered, Asked, Ledger
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.workflow_store import Course
from clarion_lab.chaos.workflows import Workflows, reactions, tales

NOTIFICATION = "a" * 32
RUN = NOTIFICATION + "1" * 16


def observed(*events: tuple[str, str]) -> Observed:
    progress = [{"event": event, "step": step, "at": "2026-05-01T09:00:00.250Z"} for event, step in events]
    instance: dict[str, Any] = {"id": f"ins_{RUN}", "user_id": "u", "progress": progress}
    return Observed([], [NOTIFICATION], frozenset(), {NOTIFICATION: [instance]})


def test_triggers_go_as_kills_let_them(tmp_path: Path) -> None:
    case = Workflows(1)
    plans = case.plans(tmp_path / "receipts")
    assert list(islice(plans, 5)) == [None] * 5
    case.killed(0.5)
    half = [plan for plan in islice(plans, INSTANCES) if plan is not None]
    case.killed(1.0)
    rest = [plan for plan in islice(plans, INSTANCES) if plan is not None]
    assert half + rest == [asking.plan for asking in askings(1)]
    assert 0.4 < len(half) / len(half + rest) < 0.6
    assert next(plans) is None


def test_a_tale_tells_how_often_an_instance_ended_and_until_when_it_waited() -> None:
    told = observed(("started", "ask"), ("waiting", "wait"), ("completed", "wait"))
    until_ms = 1_777_626_012_250
    assert tales(told, {RUN: Course(1, 0)}) == [Tale(NOTIFICATION, "u", 1, 0, until_ms)]


def test_of_api_and_store_the_worse_counts() -> None:
    whole, open_ = observed(("completed", "s")), observed(("started", "s"))
    assert tales(whole, {RUN: Course(2, 1)}) == [Tale(NOTIFICATION, "u", 2, 1)]
    assert tales(whole, {}) == [Tale(NOTIFICATION, "u", 0)]
    assert tales(open_, {RUN: Course(1, 0)}) == [Tale(NOTIFICATION, "u", 0)]


def test_an_instance_that_only_the_store_knows_is_told_of() -> None:
    assert tales(Observed([], [], frozenset(), {}), {RUN: Course(1, 0)}) == [Tale(NOTIFICATION, "", 1)]


def test_reactions_count_from_their_first_acknowledgement(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for line in (
        Asked("one", "reaction", [], 1, 1),
        Answered("one", "unknown", [], 2, "reset"),
        Asked("two", "reaction", [], 1, 3),
        Asked("one", "reaction", [], 2, 4),
        Answered("one", "ok", [], 5),
        Answered("one", "ok", [], 6),
        Asked("three", "single", [1], 1, 7),
        Answered("three", "ok", ["ntf_1"], 8),
    ):
        ledger.write(line)
    ledger.close()
    assert reactions(tmp_path / "ledger") == [Reaction("one", 5)]
