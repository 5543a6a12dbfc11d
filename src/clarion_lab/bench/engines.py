"""Compares an engine with the embedded one, in alternating runs of the same product: CPU of its processes, and of the server
beside them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from rich.table import Table

from clarion.domain.errors import OperatorError
from clarion_lab.bench.against import SIZES
from clarion_lab.bench.cases import Case, chosen
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.measure import INSIDE, BenchRequest, Outcome, run
from clarion_lab.bench.ratios import Ratio, missed, ratio_of
from clarion_lab.bench.stores import ENGINES, SQLITE

RATIOS: Final = ("ours_ratio", "both_ratio", "p99_ratio", "per_second_ratio")
"""The engine over the embedded one: CPU of Clarion, CPU of Clarion and the server, latency, deliveries a second."""
_STAGES: Final = ("accept", "plan", "deliver", "record", "total")


class Pair(NamedTuple):
    """Two consecutive runs."""

    server: Figures
    embedded: Figures


def compare_engines(asked: BenchRequest, engine: str, pairs: int, bounds: Mapping[str, float]) -> Outcome:
    """Return the comparison of an engine with the embedded one. Raises `OperatorError` for a case or an engine that cannot be
    compared and `RunError` when a run could not be measured."""
    if asked.case in INSIDE:
        raise OperatorError(f"{asked.case} measures parts of this code; only cases on processes have an engine.")
    if engine not in ENGINES or engine == SQLITE:
        raise OperatorError(
            f"There is no engine {engine!r} to compare with {SQLITE}; there is {', '.join(ENGINES[1:])}."
        )
    n = asked.n or (SIZES.get(asked.case) if asked.rate is None else None)
    case = msgspec.structs.replace(chosen(asked.case, n, asked.rate), dkim=())
    found = [_pair(case, asked, engine, number) for number in range(pairs)]
    ratios = ratios_of(found)
    beyond = missed(ratios, bounds)
    asked.console.print(_table(case, engine, found))
    runs = [figures for pair in found for figures in pair]
    clean = all(figures.passed for figures in runs)
    line: dict[str, Any] = {"case": case.name, "n": case.n, "engine": engine, "pairs": pairs}
    for name, ratio in ratios.items():
        line |= ratio.as_dict(name)
    for name in Pair._fields:
        line[name] = {
            "cpu_us": {stage: round(_mean(_of(found, name), stage), 2) for stage in _STAGES},
            "server_cpu_us": [round(figures.server_cpu_us, 2) for figures in _of(found, name)],
            "per_second": [round(figures.per_second, 1) for figures in _of(found, name)],
        }
    line |= {
        "lost": sum(figures.balance.lost for figures in runs),
        "duplicates": sum(figures.balance.duplicates for figures in runs),
        "bounds": bounds,
        "missed": beyond,
        "passed": clean and not beyond,
    }
    return Outcome(line, clean and not beyond)


def _pair(case: Case, asked: BenchRequest, engine: str, number: int) -> Pair:
    order = (engine, SQLITE) if number % 2 == 0 else (SQLITE, engine)
    runs: dict[str, Figures] = {}
    for name in order:
        folder = asked.folder / f"{number + 1:02}-{name}"
        folder.mkdir()
        asked.console.print(f"pair {number + 1}: {name}")
        runs[name] = run(case, asked._replace(folder=folder), engine=name)
    return Pair(runs[engine], runs[SQLITE])


def ratios_of(pairs: Iterable[Pair]) -> dict[str, Ratio]:
    """Return the ratios by name, of the figures that all runs have."""
    found: dict[str, list[float]] = {name: [] for name in RATIOS}
    for pair in pairs:
        ours, theirs = _figures(pair.server), _figures(pair.embedded)
        for name in RATIOS:
            if ours[name] is not None and theirs[name]:
                found[name].append(ours[name] / theirs[name])
    return {name: ratio_of(ratios) for name, ratios in found.items() if ratios}


def _figures(figures: Figures) -> dict[str, Any]:
    ours = figures.cpu_us["total"]
    return {
        "ours_ratio": ours,
        "both_ratio": ours + figures.server_cpu_us,
        "p99_ratio": figures.p99_ms,
        "per_second_ratio": figures.per_second,
    }


def _of(pairs: Iterable[Pair], name: str) -> list[Figures]:
    return [getattr(pair, name) for pair in pairs]


def _mean(runs: list[Figures], stage: str) -> float:
    return sum(figures.cpu_us[stage] for figures in runs) / len(runs)


def _table(case: Case, engine: str, pairs: list[Pair]) -> Table:
    """Return the mean CPU of both, stage by stage."""
    table = Table(
        "CPU us a delivery", SQLITE, engine, "ratio", title=f"{case.name}: {case.n:,} deliveries, {len(pairs)} pairs"
    )
    rows = {
        f"Clarion, {stage}": [_mean(_of(pairs, name), stage) for name in ("embedded", "server")] for stage in _STAGES
    }
    server = [
        sum(figures.server_cpu_us for figures in _of(pairs, name)) / len(pairs) for name in ("embedded", "server")
    ]
    rows["server"] = server
    rows["both"] = [ours + theirs for ours, theirs in zip(rows["Clarion, total"], server, strict=True)]
    for name, (embedded, other) in rows.items():
        table.add_row(name, f"{embedded:.1f}", f"{other:.1f}", f"{other / embedded:.2f}" if embedded else "-")
    return table
