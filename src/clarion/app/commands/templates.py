"""`clarion templates`: templates as files that teams review, and the starter catalogue."""

from pathlib import Path
from typing import Annotated

import typer

from clarion.app.engines import template_engines
from clarion.app.templates.checking import Checking
from clarion.app.templates.disk import reading_of

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Templates.")
Folder = Annotated[Path, typer.Argument(help="folder of templates, layouts and partials")]


@app.callback()
def templates() -> None:
    """Templates."""


@app.command("check")
def check_folder(folder: Folder) -> None:
    """Build every template of a folder and render it with its sample data in all its locales. Needs no server."""
    reading = reading_of(folder)
    checking = Checking(reading, template_engines())
    problems = 0
    for problem in checking.problems():
        typer.echo(str(problem))
        problems += 1
    for warning in checking.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"{len(reading.folder.templates)} templates, {problems} problems, {len(checking.warnings)} warnings")
    if problems:
        raise typer.Exit(1)
