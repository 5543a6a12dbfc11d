"""`clarion migrate-store`: moves a stopped installation from one engine to another."""

import asyncio
import time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table as Report

from clarion.app.cli.options import ConfigFile, DataDir, configuration
from clarion.app.config.settings import Config
from clarion.app.store_migration.estimate import estimate
from clarion.app.store_migration.run import Compared, cancel, migrate
from clarion.app.store_migration.sides import check_engines, open_source, open_target, trial_of, vault_of
from clarion.domain.errors import OperatorError

_LINE_EVERY_S: Final = 2.0


def migrate_store(
    source: Annotated[str, typer.Option("--from", help="the engine that holds the installation: sqlite or postgres")],
    target: Annotated[str, typer.Option("--to", help="the engine that is to hold it, empty until now")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="change nothing; print how long it will take")] = False,
    stay: Annotated[bool, typer.Option("--cancel", help="give a migration that has not ended up")] = False,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Move a stopped installation to another store. A second call continues one that was cut."""
    check_engines(source, target)
    if dry_run and stay:
        raise OperatorError("--dry-run changes nothing and --cancel does: give one of them.")
    config = configuration(config_file, data_dir)
    try:
        asyncio.run(_run(config, source, target, dry_run=dry_run, stay=stay))
    except KeyboardInterrupt:
        if not (dry_run or stay):
            typer.echo("clarion: Interrupted; the same command continues where it was.", err=True)
        raise


async def _run(config: Config, source: str, target: str, *, dry_run: bool, stay: bool) -> None:
    vault = vault_of(config)
    ours = await open_source(config, source)
    try:
        if stay:
            await cancel(ours, target)
            typer.echo(f"The installation stays in {source}. Empty {target} before it is moved again.")
            return
        if dry_run:
            found = await estimate(ours, trial_of(config, target))
            typer.echo(f"{found.rows:,} rows: about {_words(found.seconds)}.")
            return
        theirs = await open_target(config, target)
        try:
            with _Shown() as shown:
                compared = await migrate(ours, theirs, vault, shown)
        finally:
            await theirs.close()
    finally:
        await ours.close()
    if compared is None:
        typer.echo(
            f'The installation was moved from {source} to {target} before. Set store = "{target}" before the next start.'
        )
        return
    _report(compared, source, target)


class _Shown:
    """The progress as bars on a terminal, and as a line now and then elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._told_s = 0.0

    def __enter__(self) -> "_Shown":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, what: str, table: str, done: int, count: int) -> None:
        if not self._console.is_terminal:
            if time.monotonic() - self._told_s >= _LINE_EVERY_S:
                self._told_s = time.monotonic()
                typer.echo(f"{what} {table}: {done:,} of {count:,}", err=True)
            return
        if (what, table) not in self._tasks and count:
            self._tasks[what, table] = self._bars.add_task(f"{what} {table}", total=count)
        if (what, table) in self._tasks:
            self._bars.update(self._tasks[what, table], completed=done)


def _report(compared: list[Compared], source: str, target: str) -> None:
    table = Report("table", "rows", "checksum", title=f"The same in {source} and {target}")
    for one in compared:
        if one.rows:
            table.add_row(one.table, f"{one.rows:,}", one.checksum)
    Console(width=100).print(table)
    rows = sum(one.rows for one in compared)
    typer.echo(f'Moved {rows:,} rows. Set store = "{target}" before the next start.')


def _words(seconds: float) -> str:
    return f"{max(1, round(seconds))} seconds" if seconds < 120 else f"{round(seconds / 60)} minutes"
