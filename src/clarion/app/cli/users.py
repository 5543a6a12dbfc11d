"""`clarion users`: imports users."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from clarion.app.cli.options import Key, Url, remote
from clarion.domain.errors import OperatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Users.")
SLICE_BYTES: Final = 4 * 1024 * 1024
SHOWN_ERRORS: Final = 20


@app.callback()
def users() -> None:
    """Users."""


@app.command("import")
def import_users(
    file: Annotated[Path, typer.Argument(help="one user a line as JSON, with its id")], url: Url = None, key: Key = None
) -> None:
    """Import users from newline-delimited JSON. Invalid lines are reported by number, and the other lines are
    stored."""
    target = remote(url, key)
    console = Console(stderr=True)
    stored = failed = first = 0
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("importing", total=_size(file))
        for piece in slices(file):
            answer = target.call("POST", "/v1/users/bulk", piece, "application/x-ndjson")
            report = msgspec.json.decode(answer)
            stored += report["stored"]
            for error in report["errors"][: max(0, SHOWN_ERRORS - failed)]:
                field = f" {error['field']}:" if error.get("field") else ""
                console.print(f"line {first + error['line']}:{field} {error['reason']}", highlight=False, markup=False)
            failed += report["failed"]
            first += piece.count(b"\n")
            progress.advance(task, len(piece))
    typer.echo(f"{stored} stored, {failed} refused")
    if failed:
        raise typer.Exit(1)


def slices(file: Path) -> Iterator[bytes]:
    """Yield the file in pieces of whole lines, a few megabytes each."""
    with file.open("rb") as lines:
        while piece := b"".join(lines.readlines(SLICE_BYTES)):
            yield piece


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise OperatorError(f"Cannot read {file}: {error.strerror}.") from error
