from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from clarion.domain.errors import OperatorError
from clarion_lab.bench import engines
from clarion_lab.bench.cases import Case
from clarion_lab.bench.engines import Pair, compare_engines, ratios_of
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.measure import BenchRequest
from clarion_lab.bench.reconcile import Balance


def figures(cpu_us: float, server_cpu_us: float = 0.0, lost: int = 0) -> Figures:
    stages = {"accept": 1.0, "plan": 1.0, "deliver": 1.0, "record": 1.0, "total": cpu_us}
    return Figures("push", 100, 2.0, stages, 0.0, None, None, 1.0, Balance(lost, 0, 0, 0), server_cpu_us=server_cpu_us)


def test_what_the_server_uses_counts_beside_ours_alone() -> None:
    ratios = ratios_of(Pair(figures(120.0, 60.0), figures(100.0)) for _ in range(5))
    assert ratios["ours_ratio"].median == pytest.approx(1.2)
    assert ratios["both_ratio"].median == pytest.approx(1.8)
    assert "p99_ratio" not in ratios, "no run measured it"


@pytest.fixture
def asked(tmp_path: Path) -> BenchRequest:
    return BenchRequest("push", tmp_path, Console(stderr=True, quiet=True), 100)


def test_engines_take_turns_and_a_bound_can_be_missed(asked: BenchRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run(case: Case, asked: BenchRequest, engine: str) -> Figures:
        order.append(engine)
        return figures(130.0, 40.0) if engine == "postgres" else figures(100.0)

    monkeypatch.setattr(engines, "run", run)
    outcome = compare_engines(asked, "postgres", 5, {"ours_ratio": 1.2, "both_ratio": 1.8})
    assert order[:4] == ["postgres", "sqlite", "sqlite", "postgres"]
    assert outcome.line["missed"] == ["ours_ratio"]
    assert not outcome.passed
    assert outcome.line["server"]["server_cpu_us"] == [40.0] * 5
    assert outcome.line["embedded"]["server_cpu_us"] == [0.0] * 5
    assert msgspec.json.decode(outcome.text())["both_ratio"] == pytest.approx(1.7)


def test_a_run_that_lost_something_fails(asked: BenchRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "run", lambda case, asked, engine: figures(100.0, lost=engine == "postgres"))
    assert not compare_engines(asked, "postgres", 5, {}).passed


@pytest.mark.parametrize(
    ("case", "engine"), [("push", "oracle"), ("push", "sqlite"), ("plan", "postgres"), ("none", "postgres")]
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(asked: BenchRequest, case: str, engine: str) -> None:
    with pytest.raises(OperatorError, match=r"\.$"):
        compare_engines(asked._replace(case=case), engine, 5, {})
