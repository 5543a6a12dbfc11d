"""`clarion providers`: a tenant's accounts at vendors."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from clarion.app.commands.options import Key, Url, remote
from clarion.app.commands.sending import pair
from clarion.domain.errors import OperatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Accounts at vendors.")


@app.command("list")
def list_providers(url: Url = None, key: Key = None) -> None:
    """List provider accounts, without their credentials."""
    table = Table("name", "channel", "vendor", "priority", "enabled")
    for row in remote(url, key).pages("/v1/providers"):
        table.add_row(*(str(row.get(name, "")) for name in ("name", "channel", "vendor", "priority", "enabled")))
    Console().print(table)


@app.command("set")
def set_provider(
    name: Annotated[str, typer.Argument(help="name of the account")],
    channel: Annotated[str, typer.Option(help="email, sms, push, ...")],
    vendor: Annotated[str, typer.Option(help="sandbox, smtp, fcm, webhook, ...")],
    priority: Annotated[int, typer.Option(help="lower is preferred")] = 100,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; repeat; VALUE may be JSON")] = None,
    credentials: Annotated[Path | None, typer.Option(help="JSON file of credentials, - for standard input")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make or replace a provider account. Credentials come from a file, so that they stay out of the shell's history."""
    body = {
        "channel": channel,
        "vendor": vendor,
        "priority": priority,
        "settings": dict(pair("--setting", text) for text in setting or []),
        "credentials": read_credentials(credentials),
    }
    remote(url, key).put(f"/v1/providers/{name}", body)
    typer.echo(f"{name}: {channel} through {vendor}")


def read_credentials(path: Path | None) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for `-`. Raises `OperatorError`."""
    if path is None:
        return {}
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise OperatorError(f"Cannot read {path}: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is not a JSON object.") from error
