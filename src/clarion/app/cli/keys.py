"""`clarion keys`: a tenant's API keys. Needs the operator's key."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from clarion.app.cli.options import Key, Url, remote
from clarion.app.cli.remote import Remote, RequestRefused
from clarion.domain.duration import check_duration
from clarion.domain.limits import KEY_OVERLAP_S_MAX, KEY_TTL_MS_MAX

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Tenants' API keys (needs the operator's key).")
_WIDTH: Final = 200
"""Columns of a table that no terminal shows."""
Tenant = Annotated[str, typer.Argument(help="whose key")]
KeyId = Annotated[str, typer.Argument(help="its id")]
Network = Annotated[
    list[str] | None,
    typer.Option("--network", help="a network it may be used from, such as 192.0.2.0/24; repeatable; default: all"),
]


@app.command()
def create(
    tenant: Tenant,
    name: Annotated[str, typer.Option(help="what the key is for")] = "cli",
    scope: Annotated[list[str] | None, typer.Option(help="a scope of the key; repeatable; default: all scopes")] = None,
    network: Network = None,
    expires_in: Annotated[str | None, typer.Option(help="after which it ends, such as 90d; default: never")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Create a key, and the tenant if it is new. The secret is printed once and stored nowhere."""
    operator = remote(url, key)
    make_tenant(operator, tenant)
    body: dict[str, Any] = {"name": name, "scopes": scope or ["*"], "networks": network or []}
    if expires_in is not None:
        lifetime = timedelta(milliseconds=check_duration(expires_in, "--expires-in", most_ms=KEY_TTL_MS_MAX))
        body["expires_at"] = (datetime.now(UTC) + lifetime).isoformat()
    made = operator.post(f"/v1/tenants/{tenant}/keys", body)
    typer.echo(made["key"])


def make_tenant(operator: Remote, tenant: str) -> None:
    """Create a tenant unless there is one."""
    try:
        operator.get(f"/v1/tenants/{tenant}")
    except RequestRefused as refused:
        if refused.status != 404:
            raise
        operator.put(f"/v1/tenants/{tenant}", {"name": tenant})


@app.command("list")
def list_keys(tenant: Tenant, url: Url = None, key: Key = None) -> None:
    """List a tenant's keys, without their secrets."""
    whole = ("id", "state", "expires", "last used")
    table = Table(*(Column(name, no_wrap=True) for name in whole), "name", "scopes", "networks", "replaced by")
    for row in remote(url, key).pages(f"/v1/tenants/{tenant}/keys"):
        lists = (", ".join(row[name]) for name in ("scopes", "networks"))
        times = (_second(row[name]) for name in ("expires_at", "last_used_at"))
        cells = (row["id"], row["state"], *times, row["name"], *lists, row["replaced_by"] or "")
        table.add_row(*map(escape, cells))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


@app.command()
def rotate(
    tenant: Tenant,
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(help="how long the key before stays valid, such as 1d or 0s")] = "1d",
    url: Url = None,
    key: Key = None,
) -> None:
    """Replace a key by a new one that may do the same. The new secret is printed once and stored nowhere."""
    overlap_s = check_duration(overlap, "--overlap", least_ms=0, most_ms=KEY_OVERLAP_S_MAX * 1000) // 1000
    made = remote(url, key).post(f"/v1/tenants/{tenant}/keys/{key_id}/rotate", {"overlap_s": overlap_s})
    typer.echo(made["key"])


@app.command()
def revoke(tenant: Tenant, key_id: KeyId, url: Url = None, key: Key = None) -> None:
    """Revoke a key. It stops working within a second."""
    remote(url, key).delete(f"/v1/tenants/{tenant}/keys/{key_id}")
    typer.echo(f"revoked {key_id}")


def _second(time: str | None) -> str:
    return "" if time is None else f"{time[:19]}Z"
