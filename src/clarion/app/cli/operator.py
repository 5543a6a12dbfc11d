"""`clarion operator`: the operator's own key."""

import time
from typing import Annotated

import typer

from clarion.app.cli.options import ConfigFile, DataDir, configuration
from clarion.domain.duration import check_duration
from clarion.domain.limits import KEY_OVERLAP_S_MAX

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The operator's own key.")


@app.callback()
def operator() -> None:
    """The operator's own key, a file in the data directory."""


@app.command("rotate-key")
def rotate_key(
    overlap: Annotated[str, typer.Option(help="how long the key before stays valid, such as 1h or 0s")] = "1h",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Replace the operator's key. Running processes take the new one within a second or two; none restarts."""
    from clarion.identity.operator_keys import rotate

    overlap_ms = check_duration(overlap, "--overlap", least_ms=0, most_ms=KEY_OVERLAP_S_MAX * 1000)
    path = rotate(configuration(config_file, data_dir), overlap_ms, time.time_ns() // 1_000_000)
    typer.echo(f"The new key is in {path}. The one before is valid for another {overlap}.")
