"""`clarion providers`: a tenant's accounts at vendors."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clarion.app.cli.options import Key, Url, remote
from clarion.app.cli.provider_files import apply_providers, pull_providers
from clarion.app.cli.send import pair
from clarion.domain.errors import OperatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Accounts at vendors.")
app.command("pull")(pull_providers)
app.command("apply")(apply_providers)


@app.command("list")
def list_providers(url: Url = None, key: Key = None) -> None:
    """List provider accounts, without their credentials."""
    columns = ("name", "channel", "vendor", "priority", "weight", "enabled")
    table = Table(*columns)
    for row in remote(url, key).pages("/v1/providers"):
        table.add_row(*(str(row.get(name, "")) for name in columns))
    Console().print(table)


@app.command("push")
def push_provider(
    name: Annotated[str, typer.Argument(help="name of the account")],
    channel: Annotated[str, typer.Option(help="email, sms, push, ...")],
    vendor: Annotated[str, typer.Option(help="sandbox, smtp, fcm, webhook, ...")],
    priority: Annotated[int, typer.Option(help="lower is preferred")] = 100,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; repeat; VALUE may be JSON")] = None,
    credentials: Annotated[Path | None, typer.Option(help="JSON file of credentials, - for standard input")] = None,
    weight: Annotated[int, typer.Option(help="share among accounts of one priority; 0: only when alone")] = 1,
    limit: Annotated[list[str] | None, typer.Option(help="per_second=14, per_day=, concurrent=, ...; repeat")] = None,
    breaker: Annotated[list[str] | None, typer.Option(help="failure_rate=0.5, window_ms=30000, ...; repeat")] = None,
    on_ambiguous: Annotated[str | None, typer.Option(help="retry, assume_sent or stop; default: the vendor's")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="ask the vendor first whether the account works")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Create or replace a provider account. Credentials come from a file, so that they stay out of the shell's
    history."""
    body = {
        "channel": channel,
        "vendor": vendor,
        "priority": priority,
        "settings": dict(pair("--setting", text) for text in setting or []),
        "credentials": read_credentials(credentials),
        "weight": weight,
        "limits": dict(pair("--limit", text) for text in limit or []),
        "breaker": dict(pair("--breaker", text) for text in breaker or []),
        "on_ambiguous": on_ambiguous,
    }
    remote(url, key).put(f"/v1/providers/{name}{'?verify=true' if verify else ''}", body)
    typer.echo(f"{name}: {channel} through {vendor}{', verified by the vendor' if verify else ''}")


@app.command("health")
def show_health(
    name: Annotated[str, typer.Argument(help="name of the account")], url: Url = None, key: Key = None
) -> None:
    """Show the health of an account: whether it is called, since when and why, and the last changes."""
    found = remote(url, key).get(f"/v1/providers/{name}/health")
    console = Console()
    since = f" since {found['since']}" if found["since"] else ""
    typer.echo(f"{name}: {found['state']}{since}{': ' + found['detail'] if found['detail'] else ''}")
    typer.echo(f"{found['failures']} of {found['calls']} calls failed in the last {found['window_ms'] // 1000} s")
    for title in ("until", "paused_until"):
        if found[title]:
            typer.echo(f"{title.replace('_', ' ')} {found[title]}")
    if found["changes"]:
        table = Table("at", "before", "then", "why")
        for change in found["changes"]:
            table.add_row(*(escape(change[column]) for column in ("at", "before", "state", "detail")))
        console.print(table)


@app.command("reset")
def reset_provider(
    name: Annotated[str, typer.Argument(help="name of the account")], url: Url = None, key: Key = None
) -> None:
    """Reset the health of an account, so that it is called again at once."""
    remote(url, key).post(f"/v1/providers/{name}/reset", {})
    typer.echo(f"{name}: closed")


def read_credentials(path: Path | None) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for `-`. Raises `OperatorError` when it cannot be read or
    is no JSON object."""
    if path is None:
        return {}
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise OperatorError(f"Cannot read {path}: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is not a JSON object.") from error
