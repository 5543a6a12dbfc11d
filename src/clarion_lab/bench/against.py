"""Compares the product of this checkout with that of another commit, in alternating runs of one rig.

Load generator, simulator, seed data and accounting are those of this checkout for both; the product's processes are
started from their own code with the same interpreter and libraries. A pair is two consecutive runs, and pairs alternate
which commit runs first, so that a machine that becomes slower or warmer favours neither.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.errors import OperatorError
from clarion_lab.bench import checkout
from clarion_lab.bench.cases import Case, chosen
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.measure import INSIDE, BenchRequest, Outcome, run
from clarion_lab.bench.ratios import FIGURES, Ratio, missed, ratio_of
from clarion_lab.load.product import Product

PAIRS: Final = 8
PAIRS_MIN: Final = 5
SIZES: Final = {
    "accept-single": 15_000,
    "accept-batch": 60_000,
    "push": 20_000,
    "apns": 10_000,
    "webpush": 4_000,
    "sms": 15_000,
    "email": 8_000,
    "inapp-broadcast": 200_000,
    "push-broadcast": 20_000,
    "latency": 2_400,
}
"""The default size of a run, chosen so that eight pairs take six to eight minutes on two cores."""


class Pair(NamedTuple):
    """Two consecutive runs."""

    new: Figures
    old: Figures


def compare(asked: BenchRequest, against: str, pairs: int, bounds: Mapping[str, float]) -> Outcome:
    """Return the comparison of this checkout with a commit. Raises `OperatorError` for a case that cannot be compared
    and `RunError` when a run could not be measured."""
    if asked.case in INSIDE:
        raise OperatorError(f"{asked.case} measures parts of this code; only cases on processes can be compared.")
    n = asked.n or (SIZES.get(asked.case) if asked.rate is None else None)
    case = msgspec.structs.replace(chosen(asked.case, n, asked.rate), dkim=())
    commit = checkout.commit_of(against)
    with checkout.checked_out(commit, asked.folder) as root:
        differs = checkout.lock_differs(checkout.HERE, root)
        if differs:
            asked.console.print(
                f"[yellow]{checkout.LOCK_FILE} of {commit[:12]} differs from this one: both run with the libraries installed here.[/]"
            )
        checkout.compiled(checkout.HERE)
        roots = {"new": checkout.HERE, "old": root}
        found = [_pair(case, asked, roots, number) for number in range(pairs)]
    ratios = ratios_of(found)
    beyond = missed(ratios, bounds)
    line = {
        "case": asked.case,
        "n": case.n,
        "against": commit,
        "uncommitted": checkout.is_changed(),
        "lock_differs": differs,
    }
    line |= _as_dict(ratios, found) | {"bounds": bounds, "missed": beyond}
    clean = all(figures.passed for pair in found for figures in pair)
    return Outcome(line | {"passed": clean and not beyond}, clean and not beyond)


def _pair(case: Case, asked: BenchRequest, roots: Mapping[str, Path], number: int) -> Pair:
    order = ("new", "old") if number % 2 == 0 else ("old", "new")
    runs: dict[str, Figures] = {}
    for name in order:
        folder = asked.folder / f"{number + 1:02}-{name}"
        folder.mkdir()
        asked.console.print(f"pair {number + 1}: {name}")
        product = Product(roots[name], folder / "witnesses")
        runs[name] = run(case, asked._replace(folder=folder), product=product)
    return Pair(runs["new"], runs["old"])


def ratios_of(pairs: Iterable[Pair]) -> dict[str, Ratio]:
    """Return the ratios, new over old, of all figures that all runs have."""
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for pair in pairs:
        new, old = _figures(pair.new), _figures(pair.old)
        for name in FIGURES:
            ours, theirs = new[name], old[name]
            if ours is not None and theirs:
                found[name].append(ours / theirs)
    return {name: ratio_of(ratios) for name, ratios in found.items() if len(ratios) >= PAIRS_MIN}


def _figures(figures: Figures) -> dict[str, float | None]:
    return {
        "cpu_ratio": figures.cpu_us["total"],
        "p99_ratio": figures.p99_ms,
        "per_second_ratio": figures.per_second,
    }


def _as_dict(ratios: Mapping[str, Ratio], pairs: list[Pair]) -> dict[str, Any]:
    line: dict[str, Any] = {"pairs": len(pairs)}
    for name in FIGURES:
        line |= ratios[name].as_dict(name) if name in ratios else {name: None, f"{name}_interval": None}
    coverage = min((ratio.coverage for ratio in ratios.values()), default=0.0)
    line["interval"] = f"order statistics of the {len(pairs)} pairwise ratios; holds the median with {coverage:.3f}"
    for name in Pair._fields:
        runs: list[Figures] = [getattr(pair, name) for pair in pairs]
        line[name] = {
            "cpu_us": [round(figures.cpu_us["total"], 2) for figures in runs],
            "p99_ms": [figures.p99_ms for figures in runs],
            "per_second": [round(figures.per_second, 1) for figures in runs],
        }
    both = [figures for pair in pairs for figures in pair]
    return line | {
        "lost": sum(figures.balance.lost for figures in both),
        "duplicates": sum(figures.balance.duplicates for figures in both),
    }
