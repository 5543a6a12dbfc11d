"""`clarion operator`: the operator's own key, and the first people of an installation."""

import time
from typing import Annotated

import typer

from clarion.app.cli.keys import make_tenant
from clarion.app.cli.options import ConfigFile, DataDir, Key, Url, configuration, remote
from clarion.domain.duration import check_duration
from clarion.domain.limits import KEY_OVERLAP_S_MAX

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The operator's own key, and the first people.")


@app.callback()
def operator() -> None:
    """The operator's own key, a file in the data directory, and the first people."""


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


@app.command()
def invite(
    email: Annotated[str, typer.Argument(help="whom to invite")],
    tenant: Annotated[
        str | None, typer.Option(help="to this tenant, made if it is new; default: to the operators")
    ] = None,
    role: Annotated[str, typer.Option(help="the role in the tenant")] = "owner",
    url: Url = None,
    key: Key = None,
) -> None:
    """Print a link with which somebody becomes an operator, or a member of a tenant. Needs no mail; it works once, for a week."""
    operator = remote(url, key)
    if tenant is None:
        made = operator.post("/v1/operators/invitations", {"email": email})
    else:
        make_tenant(operator, tenant)
        made = operator.post(f"/v1/tenants/{tenant}/invitations", {"email": email, "role": role})
    typer.echo(made["url"])


@app.command()
def reset(email: Annotated[str, typer.Argument(help="whose password")], url: Url = None, key: Key = None) -> None:
    """Print a link with which a person sets a new password. It works once, for an hour."""
    typer.echo(remote(url, key).post("/v1/operators/resets", {"email": email})["url"])
