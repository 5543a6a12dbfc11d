import pytest

from clarion_lab.bench.figures import Figures
from clarion_lab.bench.reconcile import Balance
from clarion_lab.bench.workers import FLAT_MAX, outcome_of


def run(ours: float, server: float = 0.0, lost: int = 0) -> Figures:
    return Figures(
        case="workers", n=100, seconds=1.0, cpu_us={"total": ours}, simulator_cpu_us=40.0, p50_ms=None, p99_ms=None,
        rss_mb=1.0, balance=Balance(lost, 0, 0, 0), server_cpu_us=server,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("two", "four", "is_flat"),
    [(run(100, 20), run(110, 20), True), (run(100, 20), run(120, 20), False), (run(100, 40), run(100, 20), False)],
)
def test_the_cpu_of_clarion_and_the_server_has_to_stay_the_same(two: Figures, four: Figures, is_flat: bool) -> None:
    found = outcome_of({1: [run(100, 20)], 2: [two], 4: [four]}, "postgres")
    assert (found.passed, found.line["missed"]) == (is_flat, [] if is_flat else ["flat"])
    assert found.line["flat_max"] == FLAT_MAX


def test_a_run_that_something_disturbed_does_not_count() -> None:
    found = outcome_of({1: [run(100)] * 3, 2: [run(100), run(500), run(101)], 4: [run(99)] * 3}, "sqlite")
    assert found.passed
    assert found.line["cpu_us"] == {"1": 100.0, "2": 101.0, "4": 99.0}


def test_what_is_lost_fails_it() -> None:
    found = outcome_of({1: [run(100)], 2: [run(100, lost=1)]}, "sqlite")
    assert not found.passed
    assert found.line["lost"] == 1
