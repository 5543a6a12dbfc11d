"""`clarion chaos edge`: the run as a command, with its table and its line of JSON."""

import shutil
import tempfile
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from clarion.domain.errors import OperatorError
from clarion_lab.edge import attacks, verdict
from clarion_lab.edge.connections import CONNECTIONS_MANY
from clarion_lab.edge.run import EdgeRun
from clarion_lab.edge.verdict import Figures
from clarion_lab.load.programs import RunError, end_in_order
from clarion_lab.machine import scratch

ERRORS_SHOWN_MAX = 5


def edge(only: str, *, keep: bool) -> None:
    """Attack an installation with plain HTTP, and one with TLS by the attacks that need it; both get the honest load
    `connections_many`, too. `only` are names of attacks or of that load, separated by commas, empty for all. Raises
    `typer.Exit` with 1 when a rule was not kept."""
    chosen, many = _chosen(only)
    end_in_order()
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="clarion-chaos-edge-"))
    failed: list[str] = []
    errors: list[str] = []
    done: list[Figures] = []
    with console.status("starting") as status:
        for needs in (attacks.PLAIN, attacks.TLS):
            own = [attack for attack in chosen if attack.needs == needs]
            if not (own or many):
                continue
            (folder / needs).mkdir()
            run = EdgeRun(folder / needs, needs, own, status.update, many=many)
            try:
                done.append(run.run())
            except RunError as error:
                failed.append(str(error))
            errors += run.errors
    figures = verdict.combined(done) if done else None
    if figures is not None:
        console.print(_table(figures))
        failed += verdict.failed_rules(figures)
    for text in errors[:ERRORS_SHOWN_MAX]:
        console.print(f"error: {text}", highlight=False, markup=False)
    for text in failed:
        console.print(f"failed: {text}", style="red", highlight=False, markup=False)
    if keep or failed:
        scratch.keep()
        console.print(f"data and logs are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    if figures is not None:
        typer.echo(msgspec.json.encode(figures.line() | {"failed": failed}).decode())
    if failed:
        raise typer.Exit(1)


def _chosen(only: str) -> tuple[list[attacks.Attack], bool]:
    """Return the attacks, and whether `connections_many` is made."""
    if not only:
        return list(attacks.ATTACKS), True
    names = only.split(",")
    try:
        return [attacks.named(name) for name in names if name != CONNECTIONS_MANY], CONNECTIONS_MANY in names
    except KeyError as error:
        names = [*(attack.name for attack in attacks.ATTACKS), CONNECTIONS_MANY]
        raise OperatorError(f"There is no attack {error}; there is {', '.join(names)}.") from None


def _table(figures: Figures) -> Table:
    table = Table(
        "attack", "landed", "floor", "statuses", "CPU", "API", "RSS", "lag", "p99", "calm p99", "probe p99", "errors"
    )
    for one in figures.attacks:
        statuses = " ".join(f"{status}:{number}" for status, number in one.statuses.items())
        table.add_row(
            one.name,
            f"{one.landed.number:,}",
            f"{one.landed.floor:,}",
            statuses,
            f"{one.attacker_cpu:.2f}",
            f"{one.api_cpu:.2f}",
            f"{one.rss_mb_growth:+.1f}",
            f"{one.loop_lag_ms:g}",
            f"{one.p99_ms:g}",
            f"{one.calm_p99_ms:g}",
            f"{one.probe_p99_ms:g}",
            f"{one.honest_errors}+{one.health_failures}",
        )
    return table
