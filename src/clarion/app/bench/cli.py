"""`clarion bench`: the options of a measurement run as a command."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clarion.app.bench import plan, render
from clarion.app.bench.cases import chosen
from clarion.app.bench.figures import Figures, joined
from clarion.app.bench.run import Run
from clarion.app.load.programs import RunError, end_in_order


def bench(
    case: Annotated[str, typer.Argument(help="accept-single, push, apns, webpush, email, sms, inapp-broadcast, ...")],
    n: Annotated[int | None, typer.Option(min=1, help="how many notifications, or users of a broadcast")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="requests a second, sent on time")] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes")] = 2,
    keep: Annotated[bool, typer.Option("--keep", help="keep data and logs of the run")] = False,
) -> None:
    """Measure a case on real processes over loopback. The last line is one JSON object; exit 1 if anything was lost."""
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix=f"clarion-bench-{case}-"))
    if case == "plan":
        typer.echo(plan.measure(folder, n or plan.USERS).line())
        shutil.rmtree(folder)
        return
    if case == "render":
        costs = render.measure()
        typer.echo(costs.line())
        shutil.rmtree(folder)
        if not costs.passed:
            raise typer.Exit(1)
        return
    what = chosen(case, n, rate)
    end_in_order()
    runs: dict[str, Figures] = {}
    names = ("", *what.dkim)
    try:
        for name in names:
            within = folder / (name or "plain")
            within.mkdir()
            with _progress(console) as progress:
                figures = runs[name] = Run(what, within, workers, progress, name).run()
            console.print(figures.table())
            for error in figures.errors[:5]:
                console.print(f"[red]error:[/] {error}", highlight=False)
            if len(names) > 1:
                typer.echo(figures.line())
        typer.echo(joined(runs))
    except RunError as error:
        console.print(f"[red]{error}[/]", highlight=False)
    passed = len(runs) == len(names) and all(figures.passed for figures in runs.values())
    if keep or not passed:
        console.print(f"data and logs are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    if not passed:
        raise typer.Exit(1)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
