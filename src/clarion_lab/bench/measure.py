"""One measurement, from the name of its case to the printed line, calibrated before and after."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clarion_lab.bench import plan, render
from clarion_lab.bench.calibration import Calibrator
from clarion_lab.bench.cases import Case, chosen
from clarion_lab.bench.figures import Figures, joined
from clarion_lab.bench.run import Run
from clarion_lab.bench.stores import SQLITE
from clarion_lab.load.product import Product


class BenchRequest(NamedTuple):
    """The case to measure and its options; missing sizes are those of the case."""

    case: str
    folder: Path
    console: Console
    n: int | None = None
    rate: float | None = None
    workers: int = 2


class Outcome(NamedTuple):
    """The fields of the JSON line, and whether nothing was lost and no goal missed."""

    line: dict[str, Any]
    passed: bool

    def text(self) -> str:
        """Return the line."""
        return msgspec.json.encode(self.line).decode()


def measured(asked: BenchRequest) -> Outcome:
    """Measure a case of the product of this process. Raises `OperatorError` for an unknown case and `RunError` when it
    could not be measured."""
    return calibrated(lambda: INSIDE.get(asked.case, _on_processes)(asked))


def calibrated(measure: Callable[[], Outcome]) -> Outcome:
    """Measure between two calibrations and add these to the line."""
    calibrating = Calibrator()
    outcome = measure()
    return outcome._replace(line=outcome.line | calibrating.result().as_dict())


def _plan(asked: BenchRequest) -> Outcome:
    return Outcome(plan.measure(asked.folder, asked.n or plan.USERS).as_dict(), passed=True)


def _render(_asked: BenchRequest) -> Outcome:
    costs = render.measure()
    return Outcome(costs.as_dict(), costs.passed)


INSIDE: Final[dict[str, Callable[[BenchRequest], Outcome]]] = {"plan": _plan, "render": _render}
"""Cases measured inside separate processes, on parts of the product."""


def _on_processes(asked: BenchRequest) -> Outcome:
    case = chosen(asked.case, asked.n, asked.rate)
    runs: dict[str, Figures] = {}
    for name in ("", *case.dkim):
        runs[name] = run(case, asked, name)
        if case.dkim:
            typer.echo(runs[name].line())
    return Outcome(joined(runs), all(figures.passed for figures in runs.values()))


def run(
    case: Case, asked: BenchRequest, dkim: str = "", product: Product | None = None, engine: str = SQLITE
) -> Figures:
    """Run a case once on real processes, of the given `product` or else that of this process, show the figures and
    return them. `engine` holds its stores."""
    within = asked.folder / (dkim or "plain")
    within.mkdir()
    with progress_of(asked.console) as progress:
        figures = Run(case, within, asked.workers, progress, dkim, product, engine).run()
    asked.console.print(figures.table())
    for error in figures.errors[:5]:
        asked.console.print(f"[red]error:[/] {error}", highlight=False)
    return figures


def progress_of(console: Console) -> Progress:
    """Return the progress display of a run."""
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
