"""The baseline of the guard: the cost of each case when it was written, in units of the calibration, and the comparison
with a new cost."""

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
"""The largest share of the machine that other processes may use while a case is measured; beyond it there is no
verdict."""


class BaselineCost(msgspec.Struct, frozen=True):
    """A case of the baseline: the median of its costs, and the distance of the highest cost above it, as a share of
    it."""

    cost: float
    noise: float


class Baseline(msgspec.Struct, frozen=True):
    """The cases of one commit, with the number of measurements of each and the version of the calibration."""

    commit: str
    runs: int
    calibration: int
    cases: dict[str, BaselineCost]


class Cost(NamedTuple):
    """One measurement of a case: CPU microseconds a notification (or render), the same divided by the calibration of
    the run, the difference of the calibrations before and after it, as a share, and the share of the machine that other
    processes used."""

    cpu_us: float
    cost: float
    drift: float
    others: float = 0.0


class Verdict(NamedTuple):
    """A case compared with the baseline. `ratio` is that of the lowest cost; None for a case that the baseline does not
    have."""

    name: str
    cost: Cost
    ratio: float | None
    noise: float
    runs: int

    @property
    def crowded(self) -> bool:
        """Return whether other processes used the machine too much for a verdict."""
        return self.cost.others > OTHERS_MAX

    @property
    def beyond(self) -> bool:
        """Return whether the case costs more than allowed and more than its noise explains, on a machine that was
        free."""
        return not self.crowded and self.ratio is not None and self.ratio > max(RATIO_MAX, 1 + self.noise)


def verdict(name: str, costs: Sequence[Cost], baseline: Baseline) -> Verdict:
    """Return the verdict on a case by its lowest cost: other processes can only add to a cost. Its noise is the larger
    of the noise of the baseline and the drift of the calibration in that run."""
    lowest = min(costs, key=lambda cost: cost.cost)
    kept = baseline.cases.get(name)
    if kept is None:
        return Verdict(name, lowest, None, lowest.drift, len(costs))
    return Verdict(name, lowest, lowest.cost / kept.cost, max(kept.noise, lowest.drift), len(costs))


def suspicious(name: str, costs: Sequence[Cost], baseline: Baseline) -> bool:
    """Return whether a case has to be measured again before its verdict."""
    one = verdict(name, costs, baseline)
    return one.ratio is not None and one.ratio > RATIO_MAX and not one.crowded


def baseline_of(commit: str, costs: Mapping[str, Sequence[Cost]]) -> Baseline:
    """Return the baseline of these measurements."""
    cases: dict[str, BaselineCost] = {}
    for name, found in costs.items():
        middle = statistics.median(cost.cost for cost in found)
        highest = max(cost.cost for cost in found)
        cases[name] = BaselineCost(float(f"{middle:.4g}"), round(highest / middle - 1, 3))
    return Baseline(commit, min(map(len, costs.values())), VERSION, cases)


def read(path: Path = FILE) -> Baseline:
    """Return the committed baseline. Raises `OperatorError` when it was written with another version of the
    calibration."""
    baseline = msgspec.json.decode(path.read_bytes(), type=Baseline)
    if baseline.calibration != VERSION:
        raise OperatorError("The baseline was written with another calibration; write it again with --write-baseline.")
    return baseline


def write(baseline: Baseline, path: Path = FILE) -> None:
    """Write the baseline to its file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(baseline), indent=2) + b"\n")
