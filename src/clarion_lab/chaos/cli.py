"""`clarion chaos`: the options of a chaos run as a command."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from clarion.domain.errors import OperatorError
from clarion_lab.chaos.case import Case, Verdict
from clarion_lab.chaos.engine import Engine, Files
from clarion_lab.chaos.failover import Failover
from clarion_lab.chaos.kill9 import Kill9
from clarion_lab.chaos.run import ChaosRun
from clarion_lab.chaos.workflows import Workflows
from clarion_lab.edge import command as edge_command
from clarion_lab.load.programs import RunError, end_in_order
from clarion_lab.machine import scratch
from clarion_lab.machine.lock import alone
from clarion_lab.outage import run as virtual
from clarion_lab.outage import verdict as verdicts
from clarion_lab.sockets import cuts

FAILOVER: Final = "failover"
CASES: Final[dict[str, Callable[[int], Case]]] = {"kill9": Kill9, "workflows": Workflows, FAILOVER: Failover}
KILLS: Final = {"kill9": 50, "workflows": 200, FAILOVER: 3}
"""The default number of kills of a case."""
SEED_DEFAULT: Final = 1
AT_WORK_SHARE_MIN: Final = 0.4
"""Share of the victims that must have committed something since their start: a run that kills idle processes shows
nothing."""
_HELP: Final = (
    "kill9: SIGKILL any process at random moments; workflows: the same while instances delay, collect and wait; "
    "failover: a standby of PostgreSQL takes over; "
    "outage: a push vendor is down for ten minutes of virtual time; sockets: connections of users are cut and gateways killed; edge: clients attack the API under an honest load"
)
SQLITE: Final = "sqlite"
POSTGRES: Final = "postgres"
OUTAGE: Final = "outage"
EDGE: Final = "edge"
SOCKETS: Final = "sockets"


@alone("clarion chaos")
@scratch.used()
def chaos(
    case: Annotated[str, typer.Argument(help=_HELP)] = "kill9",
    kills: Annotated[
        int | None, typer.Option(min=0, help="number of kills: 50 by default, 200 for workflows, 3 for failover")
    ] = None,
    seed: Annotated[int, typer.Option(help="same seed, same kills, requests and provider faults")] = SEED_DEFAULT,
    workers: Annotated[int, typer.Option(min=1, help="worker processes")] = 2,
    engine: Annotated[
        str,
        typer.Option(
            help="what holds the stores in kill9 and workflows: sqlite by default, or postgres, which is broken, too"
        ),
    ] = "",
    only: Annotated[
        str, typer.Option(help="attacks or load of edge, by their names, separated by commas; all by default")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="do not delete data, ledger and receipts of the run")] = False,
) -> None:
    """Break a running system on purpose and check its guarantees. The last line is one JSON object; exit 1 on a
    fault."""
    only_on = {OUTAGE: SQLITE, EDGE: SQLITE, FAILOVER: POSTGRES}.get(case)
    if only_on and engine not in ("", only_on):
        raise OperatorError(f"{case} runs on {only_on} alone, not on {engine}.")
    if case == OUTAGE:
        _outage(seed, keep=keep)
    elif case == EDGE:
        edge_command.edge(only, keep=keep)
    elif case == SOCKETS:
        _sockets(engine or SQLITE, keep=keep)
    elif case in CASES:
        _killing(case, engine or only_on or SQLITE, KILLS[case] if kills is None else kills, seed, workers, keep=keep)
    else:
        raise OperatorError(f"There is no chaos case {case!r}; there is {', '.join((*CASES, OUTAGE, EDGE, SOCKETS))}.")


def _killing(case: str, engine: str, kills: int, seed: int, workers: int, *, keep: bool) -> None:
    """Run a case that kills processes."""
    end_in_order()
    stores = _started(engine, case)
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix=f"clarion-chaos-{case}-"))
    verdict: Verdict | None = None
    with console.status("starting") as status:
        run = ChaosRun(folder, CASES[case](seed), stores, kills, seed, workers, status.update)
        try:
            verdict = run.run()
        except RunError as error:
            console.print(f"[red]{error}[/]", highlight=False)
        finally:
            stores.stop(folder if keep or verdict is None or not verdict.passed else None)
    console.print("killed: " + ", ".join(f"{role} {times}" for role, times in run.killed.items()), highlight=False)
    console.print(f"{run.at_work} of them had committed something since their start", highlight=False)
    for note in run.notes:
        console.print(f"[yellow]{note}[/]", highlight=False)
    idle = run.at_work < AT_WORK_SHARE_MIN * kills
    if idle:
        console.print(f"[red]too few victims were at work when they died: {run.at_work} of {kills}[/]", highlight=False)
    passed = verdict is not None and verdict.passed and not idle
    if verdict is not None and not passed:
        for name, examples in verdict.examples.items():
            console.print(f"[red]{name}[/]: {getattr(verdict, name, len(examples))}, such as {', '.join(examples)}")
    if not passed:
        console.print(
            f"seed {seed}; again: make chaos CASE={case} ENGINE={engine} KILLS={kills} SEED={seed}", highlight=False
        )
    if keep or not passed:
        scratch.keep()
        console.print(f"data, ledger and receipts are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    if verdict is not None:
        done = {"kills": kills, "at_work": run.at_work, "seed": seed, "engine": engine, **stores.figures}
        typer.echo(msgspec.json.encode({**verdict.figures(), **done}).decode())
    if not passed:
        raise typer.Exit(1)


def _sockets(engine: str, *, keep: bool) -> None:
    """Run the case that cuts connections of users."""
    end_in_order()
    stores = _started(engine, SOCKETS)
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="clarion-chaos-sockets-"))
    verdict: cuts.Verdict | None = None
    try:
        verdict = cuts.cut(folder, dict(stores.environment), console)
    except (RunError, TimeoutError) as error:
        console.print(f"[red]{error!r}[/]", highlight=False)
    passed = verdict is not None and verdict.passed
    stores.stop(folder if keep or not passed else None)
    if keep or not passed:
        scratch.keep()
        console.print(f"data and logs are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    if verdict is not None:
        typer.echo(
            msgspec.json.encode({"case": SOCKETS, **verdict._asdict(), "engine": engine, "passed": passed}).decode()
        )
    if not passed:
        raise typer.Exit(1)


def _started(name: str, case: str) -> Engine:
    """Return the engine of a name for a case. Raises `OperatorError` for an unknown one."""
    if name == SQLITE:
        return Files()
    if name == POSTGRES:
        from clarion_lab.chaos.postgres import PostgresEngine
        from clarion_lab.chaos.standby import FailoverEngine

        try:
            return FailoverEngine() if case == FAILOVER else PostgresEngine()
        except (RunError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise OperatorError(f"No PostgreSQL server could be started: {error}") from None
    raise OperatorError(f"There is no engine {name!r}; there is {SQLITE} and {POSTGRES}.")


def _outage(seed: int, *, keep: bool) -> None:
    """Run the case that needs no processes: its stages run in this one, on a virtual clock."""
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="clarion-chaos-outage-"))
    with console.status("starting") as status:
        verdict = verdicts.judge(virtual.run(seed, folder, say=status.update))
    notes = ", ".join(f"{name} {value:,}" for name, value in verdict.notes.items())
    console.print(f"{notes}; trace {verdict.trace}", highlight=False)
    for line in verdicts.fault_lines(verdict.faults):
        console.print(f"[red]{line}[/]", highlight=False)
    if not verdict.passed:
        console.print(f"seed {seed}; again: make chaos CASE=outage SEED={seed}", highlight=False)
    if keep:
        scratch.keep()
        console.print(f"what arrived is in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    typer.echo(msgspec.json.encode(verdict.figures() | {"seed": seed}).decode())
    if not verdict.passed:
        raise typer.Exit(1)
