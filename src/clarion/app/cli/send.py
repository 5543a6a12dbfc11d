"""`clarion send` and `clarion status`: sending one notification, and its deliveries."""

from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from clarion.app.cli.options import Key, Url, remote
from clarion.domain.errors import OperatorError


def send(
    to: Annotated[list[str], typer.Option("--to", help="user id, or e-mail address; repeat for several")],
    template: Annotated[str, typer.Option(help="key of the template")],
    data: Annotated[list[str] | None, typer.Option("--data", help="NAME=VALUE for the template; repeat")] = None,
    channel: Annotated[list[str] | None, typer.Option("--channel", help="only these channels; repeat")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="a repeat with the same key sends nothing")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Send a notification. Prints its id."""
    body: dict[str, Any] = {
        "to": [{"email": name} if "@" in name else name for name in to],
        "template": template,
        "data": dict(pair("--data", text) for text in data or []),
    }
    if channel:
        body["channels"] = channel
    headers = {"idempotency-key": idempotency_key} if idempotency_key else None
    typer.echo(remote(url, key).post("/v1/notifications", body, headers)["id"])


def status(
    id: Annotated[str, typer.Argument(help="id of a notification or broadcast")], url: Url = None, key: Key = None
) -> None:
    """Show a notification: every delivery with its state, attempts and reason."""
    console = Console()
    target = remote(url, key)
    if id.startswith("brd_"):
        console.print_json(data=target.get(f"/v1/broadcasts/{id}"))
        return
    found = target.get(f"/v1/notifications/{id}")
    console.print(f"{id}: {found.get('status', found.get('state', ''))}", highlight=False)
    table = Table("channel", "user", "address", "state", "reason", "provider", "attempts")
    for delivery in found.get("deliveries", []):
        attempts = delivery.get("attempts", [])
        count = len(attempts) if isinstance(attempts, list) else attempts
        names = ("channel", "user_id", "address", "state", "reason", "provider")
        table.add_row(*(str(delivery.get(name) or "") for name in names), str(count))
    console.print(table)


def pair(option: str, text: str) -> tuple[str, Any]:
    """Return name and value of `NAME=VALUE`; the value may be JSON. Raises `OperatorError` when there is no name or
    `=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise OperatorError(f"{option} {text}: write it as NAME=VALUE.")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
