from pathlib import Path

import pytest
from rich.console import Console

from clarion_lab.bench import calibration, measure
from clarion_lab.bench.calibration import Calibration, rounds_us
from clarion_lab.bench.cases import CASES
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.measure import INSIDE, BenchRequest, Outcome, measured
from clarion_lab.bench.reconcile import Balance

FIGURES = Figures("x", 100, 2.0, {"total": 1.0}, 0.0, None, None, 1.0, Balance(0, 0, 0, 0))


def test_work_has_a_cost_and_every_round_is_reported() -> None:
    rounds = rounds_us(3)
    assert len(rounds) == 3
    assert min(rounds) > 0


@pytest.mark.parametrize("name", [*CASES, *INSIDE])
def test_the_line_of_every_case_is_calibrated_before_and_after(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def fixed() -> list[float]:
        happened.append("calibrated")
        return [10.0, 30.0, 20.0] if len(happened) == 1 else [40.0, 60.0, 50.0]

    def case(*_: object) -> Figures:
        happened.append("measured")
        return FIGURES

    def inside(_asked: BenchRequest) -> Outcome:
        happened.append("measured")
        return Outcome({"case": name}, passed=True)

    monkeypatch.setattr(calibration, "rounds_us", fixed)
    monkeypatch.setattr(measure, "run", case)
    monkeypatch.setattr(measure, "INSIDE", dict.fromkeys(INSIDE, inside))
    outcome = measured(BenchRequest(name, tmp_path, Console(quiet=True)))
    as_dict = {name: outcome.line[name] for name in Calibration(0, 0, 0).as_dict()}
    assert as_dict == {"calibration_us": 35.0, "calibration_before_us": 20.0, "calibration_after_us": 50.0}
    assert (happened[0], happened[-1]) == ("calibrated", "calibrated")
    assert "measured" in happened
