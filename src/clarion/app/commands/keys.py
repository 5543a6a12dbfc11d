"""`clarion keys`: a tenant's API keys. Needs the operator's key."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clarion.app.commands.options import Key, Url, remote
from clarion.app.commands.remote import Refused

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Tenants' API keys (needs the operator's key).")
Tenant = Annotated[str, typer.Argument(help="whose key")]


@app.command()
def create(
    tenant: Tenant,
    name: Annotated[str, typer.Option(help="what the key is for")] = "cli",
    scope: Annotated[list[str] | None, typer.Option(help="what it may do; repeat; default: everything")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a key, and the tenant if it is new. The secret is printed once and kept nowhere."""
    operator = remote(url, key)
    try:
        operator.get(f"/v1/tenants/{tenant}")
    except Refused as refused:
        if refused.status != 404:
            raise
        operator.put(f"/v1/tenants/{tenant}", {"name": tenant})
    made = operator.post(f"/v1/tenants/{tenant}/keys", {"name": name, "scopes": scope or ["*"]})
    typer.echo(made["key"])


@app.command("list")
def list_keys(tenant: Tenant, url: Url = None, key: Key = None) -> None:
    """List a tenant's keys, without their secrets."""
    table = Table("id", "name", "scopes", "created", "revoked")
    for row in remote(url, key).pages(f"/v1/tenants/{tenant}/keys"):
        scopes = ", ".join(row.get("scopes", []))
        cells = (row.get("id"), row.get("name"), scopes, row.get("created_at"), row.get("revoked_at"))
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    Console().print(table)


@app.command()
def revoke(
    tenant: Tenant, key_id: Annotated[str, typer.Argument(help="its id")], url: Url = None, key: Key = None
) -> None:
    """Revoke a key. It stops working within a second."""
    remote(url, key).delete(f"/v1/tenants/{tenant}/keys/{key_id}")
    typer.echo(f"revoked {key_id}")
