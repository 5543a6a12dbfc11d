import pytest

from clarion.domain.errors import OperatorError
from clarion_lab.bench.against import Pair, ratios_of
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.ratios import Ratio, bounds_of, missed, ratio_of
from clarion_lab.bench.reconcile import Balance


@pytest.mark.parametrize(
    ("number", "low", "high", "coverage"), [(5, 1, 5, 0.9375), (7, 1, 7, 0.984), (8, 2, 7, 0.930), (13, 4, 10, 0.908)]
)
def test_an_interval_holds_the_median_with_nine_tenths(number: int, low: float, high: float, coverage: float) -> None:
    ratio = ratio_of([float(n) for n in range(number, 0, -1)])
    assert (ratio.low, ratio.high) == (low, high)
    assert ratio.coverage == pytest.approx(coverage, abs=0.001)
    assert ratio.coverage >= 0.9


def test_a_bound_is_missed_only_when_the_interval_excludes_it() -> None:
    ratios = {"cpu_ratio": Ratio(1.05, 0.99, 1.2, 0.93), "per_second_ratio": Ratio(0.8, 0.7, 0.9, 0.93)}
    assert missed(ratios, {"cpu_ratio": 1.0}) == []
    assert missed(ratios, {"cpu_ratio": 0.98}) == ["cpu_ratio"]
    assert missed(ratios, {"per_second_ratio": 0.85}) == []
    assert missed(ratios, {"per_second_ratio": 1.0}) == ["per_second_ratio"]


def test_a_bound_without_a_measurement_is_missed() -> None:
    assert missed({}, {"p99_ratio": 1.0}) == ["p99_ratio"]


def test_bounds_are_parsed_and_invalid_ones_refused_in_a_sentence() -> None:
    assert bounds_of(["cpu_ratio=1.0", "per_second_ratio=0.9"]) == {"cpu_ratio": 1.0, "per_second_ratio": 0.9}
    for wrong in ("cpu_ratio", "cpu_ratio=fast", "speed=1"):
        with pytest.raises(OperatorError, match=r"\.$"):
            bounds_of([wrong])


def figures(cpu_us: float, p99_ms: float | None) -> Figures:
    return Figures("x", 100, cpu_us, {"total": cpu_us}, 0.0, None, p99_ms, 1.0, Balance(0, 0, 0, 0))


def test_ratios_are_new_over_old_pair_by_pair_and_what_no_run_has_is_left_out() -> None:
    pairs = [Pair(figures(100.0 + n, None), figures(200.0 + 2 * n, None)) for n in range(5)]
    ratios = ratios_of(pairs)
    assert ratios["cpu_ratio"][:3] == (0.5, 0.5, 0.5)
    assert ratios["per_second_ratio"].median == pytest.approx(2.0)
    assert "p99_ratio" not in ratios
