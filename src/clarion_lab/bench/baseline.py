"""The baseline of the guard: what each case cost when it was written, in units of the calibration, and how a cost compares."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from clarion.domain.errors import OperatorError
from clarion_lab.bench.calibration import VERSION

FILE: Final = Path(__file__).with_name("baseline.json")
RATIO_MAX: Final = 1.10
OTHERS_MAX: Final = 0.10
"""The share of the machine that others may use while a case is measured, if it is to be judged."""


class Kept(msgspec.Struct, frozen=True):
    """A case of the baseline: the median of its costs, and how far the highest of them lay above it, as a share of it."""

    cost: float
    noise: float


class Baseline(msgspec.Struct, frozen=True):
    """The cases of one commit, measured so many times each with a calibration of that version."""

    commit: str
    runs: int
    calibration: int
    cases: dict[str, Kept]


class Cost(NamedTuple):
    """One measurement of a case: CPU microseconds a notification (or render), the same divided by the calibration of the run, how far
    the calibrations before and after it lie apart, as a share, and the share of the machine that others used meanwhile."""

    cpu_us: float
    cost: float
    drift: float
    others: float = 0.0


class Verdict(NamedTuple):
    """A case beside the baseline. `ratio` is that of the lowest cost; None for a case that the baseline does not have."""

    name: str
    cost: Cost
    ratio: float | None
    noise: float
    runs: int

    @property
    def crowded(self) -> bool:
        """Return whether others used the machine too much for a judgement."""
        return self.cost.others > OTHERS_MAX

    @property
    def beyond(self) -> bool:
        """Return whether it costs more than is allowed and more than its noise explains, on a machine that was free."""
        return not self.crowded and self.ratio is not None and self.ratio > max(RATIO_MAX, 1 + self.noise)


def verdict(name: str, costs: Sequence[Cost], baseline: Baseline) -> Verdict:
    """Judge a case by the lowest of its costs: what else uses the machine can only add to one. Its noise is the larger of the
    noise of the baseline and the drift of the calibration in that run."""
    lowest = min(costs, key=lambda cost: cost.cost)
    kept = baseline.cases.get(name)
    if kept is None:
        return Verdict(name, lowest, None, lowest.drift, len(costs))
    return Verdict(name, lowest, lowest.cost / kept.cost, max(kept.noise, lowest.drift), len(costs))


def suspicious(name: str, costs: Sequence[Cost], baseline: Baseline) -> bool:
    """Return whether a case is to be measured again before it is judged."""
    one = verdict(name, costs, baseline)
    return one.ratio is not None and one.ratio > RATIO_MAX and not one.crowded


def baseline_of(commit: str, costs: Mapping[str, Sequence[Cost]]) -> Baseline:
    """Return the baseline that measurements make."""
    cases: dict[str, Kept] = {}
    for name, found in costs.items():
        middle = statistics.median(cost.cost for cost in found)
        highest = max(cost.cost for cost in found)
        cases[name] = Kept(float(f"{middle:.4g}"), round(highest / middle - 1, 3))
    return Baseline(commit, min(map(len, costs.values())), VERSION, cases)


def read(path: Path = FILE) -> Baseline:
    """Return the committed baseline. Raises `OperatorError` for one that other work was measured with."""
    baseline = msgspec.json.decode(path.read_bytes(), type=Baseline)
    if baseline.calibration != VERSION:
        raise OperatorError("The baseline was written with another calibration; write it again with --write-baseline.")
    return baseline


def write(baseline: Baseline, path: Path = FILE) -> None:
    """Write the baseline to be committed."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(baseline), indent=2) + b"\n")
