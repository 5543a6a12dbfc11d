from typing import Any

import pytest

from clarion_lab.bench.cases import Case
from clarion_lab.bench.reconcile import Balance
from clarion_lab.bench.round_trips import GOALS, Stage
from clarion_lab.bench.rtt import CASE, Distance, _outcome


def run(**busy: int) -> Distance:
    stages = {name: Stage(1.0, {}, 1, 1.0, 0.0, {}, {}) for name in GOALS}
    as_dict = {name.replace("_", "."): number for name, number in busy.items()}
    return Distance(100.0, 1.0, Balance(0, 0, 0, 0), [], stages, as_dict)


def outcome(far: Distance, near: Distance, case: Case = CASE) -> Any:
    return _outcome(case, 10.0, [far], [near], block=False)


@pytest.mark.parametrize(("near", "missed"), [(run(worker_turn=2), []), (run(api_accept=1), ["loop_busy"])])
def test_a_callback_that_uses_too_much_cpu_in_any_run_misses_the_goal(near: Distance, missed: list[str]) -> None:
    found = outcome(run(worker_turn=1), near)
    assert found.line["missed"] == missed
    assert found.passed is (not missed)
    assert found.line["loop_busy"]["worker.turn"] >= 1
