"""The comparison of two commits by pairs of runs: the median of the pairwise ratios with an interval, and bounds on
it."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from clarion.domain.errors import OperatorError

COVERAGE_MIN: Final = 0.9
FIGURES: Final = ("cpu_ratio", "p99_ratio", "per_second_ratio")
"""New over old: CPU a delivery, the 99th percentile of latency, deliveries a second."""
MORE_IS_BETTER: Final = frozenset({"per_second_ratio"})


class Ratio(NamedTuple):
    """The median of pairwise ratios and an interval that holds the true median with probability `coverage`."""

    median: float
    low: float
    high: float
    coverage: float

    def as_dict(self, name: str) -> dict[str, Any]:
        """Return the fields for a JSON line."""
        return {name: round(self.median, 4), f"{name}_interval": [round(self.low, 4), round(self.high, 4)]}


def ratio_of(ratios: Sequence[float]) -> Ratio:
    """Return the median of at least five ratios and the interval between two of them in order: the narrowest, the same number
    cut off at both ends, that holds the true median with at least `COVERAGE_MIN`, for any distribution."""
    ordered = sorted(ratios)
    number = len(ordered)
    cut, coverage = 0, _coverage(number, 0)
    while 2 * (cut + 2) <= number and (narrower := _coverage(number, cut + 1)) >= COVERAGE_MIN:
        cut, coverage = cut + 1, narrower
    return Ratio(statistics.median(ordered), ordered[cut], ordered[-1 - cut], coverage)


def _coverage(number: int, cut: int) -> float:
    """Return the probability that the median lies between the (cut+1)th smallest and the (cut+1)th largest of
    `number`."""
    return 1 - sum(math.comb(number, below) for below in range(cut + 1)) / float(2 ** (number - 1))


def bounds_of(words: Sequence[str], names: Sequence[str] = FIGURES) -> dict[str, float]:
    """Return bounds written `cpu_ratio=1.0`. Raises `OperatorError` for one that cannot be parsed or has none of the
    `names`."""
    found: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise OperatorError(f"A bound is written name=number, not {word!r}.") from None
        if name not in names:
            raise OperatorError(f"There is no figure {name!r} to bound; there are {', '.join(names)}.")
    return found


def missed(ratios: Mapping[str, Ratio], bounds: Mapping[str, float]) -> list[str]:
    """Return the figures whose whole interval is beyond their bound: above it, or below it when more is better. A bound
    on a figure that was not measured is missed."""
    return [name for name, bound in bounds.items() if name not in ratios or _is_missed(name, ratios[name], bound)]


def _is_missed(name: str, ratio: Ratio, bound: float) -> bool:
    return ratio.high < bound if name in MORE_IS_BETTER else ratio.low > bound
