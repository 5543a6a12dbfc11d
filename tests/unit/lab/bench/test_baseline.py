from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from clarion.domain.errors import OperatorError
from clarion_lab.bench import baseline, guard
from clarion_lab.bench.baseline import Baseline, BaselineCost, Cost, baseline_of, suspicious, verdict
from clarion_lab.bench.calibration import VERSION
from clarion_lab.bench.cases import CASES
from clarion_lab.bench.measure import INSIDE, BenchRequest

BASELINE = Baseline("c" * 40, 5, VERSION, {"push": BaselineCost(1.0, 0.05), "noisy": BaselineCost(1.0, 0.4)})


def costs(*found: float, drift: float = 0.0) -> list[Cost]:
    return [Cost(cost * 1_000, cost, drift) for cost in found]


@pytest.mark.parametrize(
    ("name", "found", "beyond"),
    [
        ("push", costs(1.09), False),
        ("push", costs(1.2, 1.3, 1.11), True),
        ("push", costs(1.2, 1.3, 1.05), False),
        ("push", costs(1.2, drift=0.3), False),
        ("noisy", costs(1.3), False),
        ("noisy", costs(1.5), True),
        ("new", costs(9.0), False),
    ],
)
def test_a_case_fails_beyond_the_bound_and_its_noise_by_its_lowest_cost(
    name: str, found: list[Cost], *, beyond: bool
) -> None:
    assert verdict(name, found, BASELINE).beyond is beyond


def test_measurements_on_a_busy_machine_are_not_judged() -> None:
    crowded = [Cost(1_500.0, 1.5, 0.0, others=0.3)]
    assert verdict("push", crowded, BASELINE).crowded
    assert not verdict("push", crowded, BASELINE).beyond
    assert not suspicious("push", crowded, BASELINE)


def test_an_expensive_case_is_measured_again() -> None:
    assert suspicious("push", costs(1.2), BASELINE)
    assert not suspicious("push", costs(1.2, 1.0), BASELINE)
    assert not suspicious("new", costs(9.0), BASELINE)


def test_a_baseline_is_the_median_and_how_far_the_highest_lies_above_it(tmp_path: Path) -> None:
    made = baseline_of("c", {"push": costs(2.0, 1.0, 3.0)})
    assert made.cases == {"push": BaselineCost(2.0, 0.5)}
    baseline.write(made, tmp_path / "baseline.json")
    assert baseline.read(tmp_path / "baseline.json") == made


def test_a_baseline_of_another_calibration_is_refused(tmp_path: Path) -> None:
    baseline.write(msgspec.structs.replace(BASELINE, calibration=VERSION + 1), tmp_path / "baseline.json")
    with pytest.raises(OperatorError, match="--write-baseline"):
        baseline.read(tmp_path / "baseline.json")


def test_the_guard_has_every_case_and_so_has_the_committed_baseline() -> None:
    assert set(guard.SIZES) == set(CASES)
    figures = set(CASES) | {"plan-single", "plan-broadcast"}
    kept = set(baseline.read().cases)
    assert figures <= kept
    assert {name.partition("-")[0] for name in kept - figures} == set(INSIDE) - {"plan"}


@pytest.mark.parametrize(("cost", "measured"), [(1.0, 1), (1.2, 3)])
def test_the_guard_measures_an_expensive_case_three_times_and_others_once(
    cost: float, measured: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(_asked: BenchRequest, _folder: str, measure: object) -> dict[str, Cost]:
        return {"push": Cost(1.0, cost, 0.0)}

    monkeypatch.setattr(guard, "_once", once)
    monkeypatch.setattr(guard, "_cases", lambda: {"push": None})
    monkeypatch.setattr(baseline, "read", lambda: BASELINE)
    outcome = guard.guard(BenchRequest("guard", tmp_path, Console(quiet=True)))
    assert outcome.line["figures"]["push"]["runs"] == measured
    assert outcome.passed is (measured == 1)
    assert outcome.line["beyond"] == ([] if measured == 1 else ["push"])
