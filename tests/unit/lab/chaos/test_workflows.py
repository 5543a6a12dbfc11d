from itertools import islice
from pathlib import Path
from typing import Any

from clarion_lab.chaos.instances import InstanceReport, Reaction
from clarion_lab.chaos.journeys import INSTANCES, trigger_requests
from clarion_lab.chaos.ledger import AnswerLine, Ledger, RequestLine
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.workflow_store import EventCounts
from clarion_lab.chaos.workflows import Workflows, instance_reports, reactions

NOTIFICATION = "a" * 32
RUN = NOTIFICATION + "1" * 16


def observed(*events: tuple[str, str]) -> Observed:
    progress = [{"event": event, "step": step, "at": "2026-05-01T09:00:00.250Z"} for event, step in events]
    instance: dict[str, Any] = {"id": f"ins_{RUN}", "user_id": "u", "progress": progress}
    return Observed([], [NOTIFICATION], frozenset(), {NOTIFICATION: [instance]})


def test_triggers_are_sent_between_kills(tmp_path: Path) -> None:
    case = Workflows(1)
    plans = case.plans(tmp_path / "receipts")
    assert list(islice(plans, 5)) == [None] * 5
    case.killed(0.5)
    half = [plan for plan in islice(plans, INSTANCES) if plan is not None]
    case.killed(1.0)
    rest = [plan for plan in islice(plans, INSTANCES) if plan is not None]
    assert half + rest == [asking.plan for asking in trigger_requests(1)]
    assert 0.4 < len(half) / len(half + rest) < 0.6
    assert next(plans) is None


def test_a_report_counts_ends_and_holds_the_last_wait() -> None:
    reported = observed(("started", "ask"), ("waiting", "wait"), ("completed", "wait"))
    until_ms = 1_777_626_012_250
    assert instance_reports(reported, {RUN: EventCounts(1, 0)}) == [InstanceReport(NOTIFICATION, "u", 1, 0, until_ms)]


def test_of_api_and_store_the_worse_counts() -> None:
    whole, open_ = observed(("completed", "s")), observed(("started", "s"))
    assert instance_reports(whole, {RUN: EventCounts(2, 1)}) == [InstanceReport(NOTIFICATION, "u", 2, 1)]
    assert instance_reports(whole, {}) == [InstanceReport(NOTIFICATION, "u", 0)]
    assert instance_reports(open_, {RUN: EventCounts(1, 0)}) == [InstanceReport(NOTIFICATION, "u", 0)]


def test_an_instance_known_only_to_the_store_is_reported() -> None:
    assert instance_reports(Observed([], [], frozenset(), {}), {RUN: EventCounts(1, 0)}) == [
        InstanceReport(NOTIFICATION, "", 1)
    ]


def test_reactions_count_from_their_first_acknowledgement(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for line in (
        RequestLine("one", "reaction", [], 1, 1),
        AnswerLine("one", "unknown", [], 2, "reset"),
        RequestLine("two", "reaction", [], 1, 3),
        RequestLine("one", "reaction", [], 2, 4),
        AnswerLine("one", "ok", [], 5),
        AnswerLine("one", "ok", [], 6),
        RequestLine("three", "single", [1], 1, 7),
        AnswerLine("three", "ok", ["ntf_1"], 8),
    ):
        ledger.write(line)
    ledger.close()
    assert reactions(tmp_path / "ledger") == [Reaction("one", 5)]
