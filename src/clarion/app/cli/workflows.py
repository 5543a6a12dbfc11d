"""`clarion workflows`: definitions of workflows, from files."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from clarion.app.cli.options import Key, Url, remote
from clarion.domain.errors import OperatorError
from clarion.ports.web import JSON, TOML

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Workflows.")


@app.command("list")
def list_workflows(url: Url = None, key: Key = None) -> None:
    """List workflows with their newest versions."""
    table = Table("workflow", "version", "steps", "name")
    for row in remote(url, key).pages("/v1/workflows"):
        table.add_row(row["key"], str(row["version"]), str(len(row["steps"])), row.get("name", ""))
    Console().print(table)


@app.command("push")
def push_workflow(
    workflow: Annotated[str, typer.Argument(help="key of the workflow")],
    file: Annotated[Path, typer.Argument(help="JSON, or TOML when it ends in .toml; - for JSON from standard input")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Store a workflow as its next version; an unchanged definition makes no new version."""
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise OperatorError(f"Cannot read {file}: {error.strerror}.") from error
    media = TOML if file.suffix == ".toml" else JSON
    answer = remote(url, key).call("PUT", f"/v1/workflows/{workflow}", text, media)
    typer.echo(f"{workflow}: version {msgspec.json.decode(answer)['version']}")
