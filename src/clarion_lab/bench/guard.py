"""The guard: small versions of all cases, each calibrated, compared with the committed baseline.

A case that seems to cost more than `RATIO_MAX` of its baseline is measured up to twice more, and the lowest cost
counts. It fails the guard only when that cost exceeds `RATIO_MAX` and the noise of the case. A measurement while other
processes used the machine is shown without a verdict.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from rich.table import Table

from clarion_lab.bench import baseline, checkout, plan, render
from clarion_lab.bench.baseline import Baseline, Cost, Verdict, suspicious, verdict
from clarion_lab.bench.calibration import Calibrator
from clarion_lab.bench.cases import chosen
from clarion_lab.bench.measure import BenchRequest, Outcome, run
from clarion_lab.load.accounting import MachineUsage
from clarion_lab.load.programs import RunError

SIZES: Final = {
    "accept-single": 4_000,
    "accept-batch": 20_000,
    "push": 5_000,
    "apns": 3_000,
    "webpush": 1_000,
    "sms": 4_000,
    "email": 3_000,
    "inapp-broadcast": 60_000,
    "push-broadcast": 5_000,
    "latency": 900,
}
USERS: Final = 2_000
"""Users of the cases that are not broadcasts."""
PLAN_USERS: Final = 20_000
PLAN_SINGLES: Final = 10_000
TRIES: Final = 3
BASELINE_RUNS: Final = 5

_Costs = dict[str, float]
"""CPU microseconds by the name of a figure."""


def guard(asked: BenchRequest) -> Outcome:
    """Measure each case once, and again if it seems too costly. Return the verdicts. Raises `RunError` when something
    was lost or could not be measured."""
    began_s = time.monotonic()
    kept = baseline.read()
    found: dict[str, list[Cost]] = {}
    for name, measure in _cases().items():
        for number in range(TRIES):
            costs = _once(asked, f"{name}-{number + 1}", measure)
            for figure, cost in costs.items():
                found.setdefault(figure, []).append(cost)
            if not any(suspicious(figure, found[figure], kept) for figure in costs):
                break
    verdicts = [verdict(name, costs, kept) for name, costs in found.items()]
    asked.console.print(_table(verdicts, kept))
    beyond = [one.name for one in verdicts if one.beyond]
    crowded = [one.name for one in verdicts if one.crowded]
    line = {"case": "guard", "seconds": round(time.monotonic() - began_s, 1), "baseline": kept.commit}
    return Outcome(
        line | {"figures": _as_dict(verdicts), "beyond": beyond, "crowded": crowded, "passed": not beyond}, not beyond
    )


def write_baseline(asked: BenchRequest) -> Outcome:
    """Measure each case `n` times (`BASELINE_RUNS` by default) and write the baseline of this commit."""
    changed = checkout.is_changed()
    found: dict[str, list[Cost]] = {}
    for number in range(asked.n or BASELINE_RUNS):
        for name, measure in _cases().items():
            for figure, cost in _once(asked, f"{name}-{number + 1}", measure).items():
                found.setdefault(figure, []).append(cost)
    written = baseline.baseline_of(checkout.commit_of("HEAD"), found)
    baseline.write(written)
    line = {"case": "guard", "written": str(baseline.FILE), "uncommitted": changed}
    return Outcome(line | {"cases": msgspec.to_builtins(written.cases)}, passed=True)


def _cases() -> dict[str, Callable[[BenchRequest], _Costs]]:
    processes = {name: lambda asked, name=name: _on_processes(name, asked) for name in SIZES}
    return {**processes, "plan": _plan, "render": _render}


def _on_processes(name: str, asked: BenchRequest) -> _Costs:
    case = chosen(name, SIZES[name], None)
    figures = run(msgspec.structs.replace(case, dkim=(), users=USERS if case.items else case.users), asked)
    if not figures.passed:
        raise RunError(f"{name}: {figures.line()}")
    return {name: figures.cpu_us["total"]}


def _plan(asked: BenchRequest) -> _Costs:
    figures = plan.measure(asked.folder, PLAN_USERS, PLAN_SINGLES)
    return {"plan-single": figures.single_process_us, "plan-broadcast": figures.broadcast_process_us}


def _render(_asked: BenchRequest) -> _Costs:
    return {f"render-{cost.what}-{cost.channel}": cost.mean_us for cost in render.yardsticks()}


def _once(asked: BenchRequest, folder: str, measure: Callable[[BenchRequest], _Costs]) -> dict[str, Cost]:
    within = asked.folder / folder
    within.mkdir()
    calibrating, using = Calibrator(), MachineUsage()
    found = measure(asked._replace(folder=within))
    others = using.others()
    calibration = calibrating.result()
    drift = abs(calibration.after_us - calibration.before_us) / calibration.us
    return {name: Cost(us, us / calibration.us, drift, others) for name, us in found.items()}


def _as_dict(verdicts: list[Verdict]) -> dict[str, Any]:
    return {
        one.name: {
            "cpu_us": round(one.cost.cpu_us, 2),
            "cost": float(f"{one.cost.cost:.4g}"),
            "ratio": None if one.ratio is None else round(one.ratio, 3),
            "noise": round(one.noise, 3),
            "others": round(one.cost.others, 3),
            "runs": one.runs,
        }
        for one in verdicts
    }


def _table(verdicts: list[Verdict], kept: Baseline) -> Table:
    table = Table(
        "case",
        "CPU us",
        "cost",
        "baseline",
        "ratio",
        "noise",
        "others",
        "runs",
        title=f"guard, against {kept.commit[:12]}",
    )
    for one in verdicts:
        was = kept.cases.get(one.name)
        ratio = "new" if one.ratio is None else f"{one.ratio:.2f}"
        table.add_row(
            one.name,
            f"{one.cost.cpu_us:,.2f}",
            f"{one.cost.cost:.4g}",
            f"{was.cost:.4g}" if was else "-",
            f"[red]{ratio}[/]" if one.beyond else ratio,
            f"{one.noise:.0%}",
            f"[yellow]{one.cost.others:.0%}[/]" if one.crowded else f"{one.cost.others:.0%}",
            str(one.runs),
        )
    return table
