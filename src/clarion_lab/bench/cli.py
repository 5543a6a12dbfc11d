"""`clarion bench`: the options of a measurement run as a command."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clarion.domain.errors import OperatorError
from clarion_lab.bench.against import PAIRS, PAIRS_MIN, compare
from clarion_lab.bench.engines import RATIOS, compare_engines
from clarion_lab.bench.guard import guard, write_baseline
from clarion_lab.bench.idle import idle
from clarion_lab.bench.inbox import inbox
from clarion_lab.bench.measure import BenchRequest, Outcome, calibrated, measured
from clarion_lab.bench.ratios import bounds_of
from clarion_lab.bench.rtt import RTT_MS, rtt
from clarion_lab.bench.sockets import sockets
from clarion_lab.bench.stores import SQLITE
from clarion_lab.bench.workers import workers as workers_case
from clarion_lab.load.programs import RunError, end_in_order
from clarion_lab.machine import scratch
from clarion_lab.machine.lock import alone


@alone("clarion bench")
@scratch.used()
def bench(
    case: Annotated[str, typer.Argument(help="accept-single, push, apns, webpush, email, sms, inapp-broadcast, ...")],
    n: Annotated[
        int | None,
        typer.Option(min=1, help="notifications, users of a broadcast, connections of sockets, or seconds of idle"),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="requests a second, sent on a schedule")] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes")] = 2,
    against: Annotated[str, typer.Option(help="a commit to compare this checkout with, in alternating runs")] = "",
    pairs: Annotated[int, typer.Option(min=PAIRS_MIN, help="the number of runs of each commit")] = PAIRS,
    engine: Annotated[
        str, typer.Option(help="postgres: compare it with files, in alternating runs; rtt and workers run on it")
    ] = SQLITE,
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
        special = _special(asked, engine, rtt_ms, rewrite=rewrite, block=block)
        if case in special:
            outcome = calibrated(special[case])
        else:
            outcome = _measured(asked, engine, against, pairs, bound or [])
        passed = outcome.passed
        typer.echo(outcome.text())
    except OperatorError:
        shutil.rmtree(folder)
        raise
    except RunError as error:
        console.print(f"[red]{error}[/]", highlight=False)
    if keep or not passed:
        scratch.keep()
        console.print(f"data and logs are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    if not passed:
        raise typer.Exit(1)


def _special(
    asked: BenchRequest, engine: str, rtt_ms: float, *, rewrite: bool, block: bool
) -> dict[str, Callable[[], Outcome]]:
    """Return the cases that are measured in their own way."""
    return {
        "guard": _on_files(asked.case, engine, lambda: (write_baseline if rewrite else guard)(asked)),
        "idle": _on_files(asked.case, engine, lambda: idle(asked)),
        "inbox": _on_files(asked.case, engine, lambda: inbox(asked)),
        "sockets": _on_files(asked.case, engine, lambda: sockets(asked)),
        "rtt": lambda: rtt(asked, rtt_ms, engine, block=block),
        "workers": lambda: workers_case(asked, engine),
    }


def _measured(asked: BenchRequest, engine: str, against: str, pairs: int, bounds: list[str]) -> Outcome:
    """Measure a case alone, or compare it with another engine or commit."""
    if engine == SQLITE and not against:
        return measured(asked)
    return calibrated(lambda: _compared(asked, engine, against, pairs, bounds))


def _compared(asked: BenchRequest, engine: str, against: str, pairs: int, bounds: list[str]) -> Outcome:
    """Compare an engine with files, or this checkout with a commit. Raises `OperatorError` when both are asked for."""
    if engine == SQLITE:
        return compare(asked, against, pairs, bounds_of(bounds))
    if against:
        raise OperatorError("An engine is compared with files, and a commit with this checkout: not both at once.")
    return compare_engines(asked, engine, pairs, bounds_of(bounds, RATIOS))


def _on_files(case: str, engine: str, measure: Callable[[], Outcome]) -> Callable[[], Outcome]:
    """Return a measurement that has no engine. It raises `OperatorError` when one is asked for."""

    def on_files() -> Outcome:
        if engine != SQLITE:
            raise OperatorError(f"{case} is measured on files alone, not on {engine}.")
        return measure()

    return on_files
