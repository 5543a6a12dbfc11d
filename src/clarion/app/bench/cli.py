"""`clarion bench`: the options of a measurement run as a command."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clarion.app.bench.measure import Asked, measured
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
    end_in_order()
    passed = False
    try:
        outcome = measured(Asked(case, folder, console, n, rate, workers))
        passed = outcome.passed
        typer.echo(outcome.text())
    except RunError as error:
        console.print(f"[red]{error}[/]", highlight=False)
    if keep or not passed:
        console.print(f"data and logs are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    if not passed:
        raise typer.Exit(1)
