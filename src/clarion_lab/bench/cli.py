"""`clarion bench`: the options of a measurement run as a command."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clarion_lab.bench.against import PAIRS, PAIRS_MIN, compare
from clarion_lab.bench.guard import guard, write_baseline
from clarion_lab.bench.idle import idle
from clarion_lab.bench.measure import BenchRequest, calibrated, measured
from clarion_lab.bench.ratios import bounds_of
from clarion_lab.bench.rtt import RTT_MS, rtt
from clarion_lab.load.programs import RunError, end_in_order


def bench(
    case: Annotated[str, typer.Argument(help="accept-single, push, apns, webpush, email, sms, inapp-broadcast, ...")],
    n: Annotated[
        int | None, typer.Option(min=1, help="notifications, users of a broadcast, or seconds of idle")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="requests a second, sent on a schedule")] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes")] = 2,
    against: Annotated[str, typer.Option(help="a commit to compare this checkout with, in alternating runs")] = "",
    pairs: Annotated[int, typer.Option(min=PAIRS_MIN, help="the number of runs of each commit")] = PAIRS,
    bound: Annotated[list[str] | None, typer.Option(help="cpu_ratio=1.0: exit 1 when the interval excludes it")] = None,
    rewrite: Annotated[bool, typer.Option("--write-baseline", help="guard: write a new baseline")] = False,
    rtt_ms: Annotated[
        float, typer.Option(min=0.0, help="rtt: milliseconds added to each call of a store or stream")
    ] = RTT_MS,
    block: Annotated[bool, typer.Option("--block", help="rtt: delay methods that cannot be awaited, too")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="do not delete data and logs of the run")] = False,
) -> None:
    """Measure a case on real processes over loopback. The last line is one JSON object; exit 1 if anything was lost."""
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix=f"clarion-bench-{case}-"))
    end_in_order()
    passed = False
    try:
        asked = BenchRequest(case, folder, console, n, rate, workers)
        bounds = bounds_of(bound or [])
        if case == "guard":
            outcome = calibrated(lambda: (write_baseline if rewrite else guard)(asked))
        elif case == "idle":
            outcome = calibrated(lambda: idle(asked))
        elif case == "rtt":
            outcome = calibrated(lambda: rtt(asked, rtt_ms, block=block))
        elif against:
            outcome = calibrated(lambda: compare(asked, against, pairs, bounds))
        else:
            outcome = measured(asked)
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
