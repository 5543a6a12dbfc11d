"""Options that several commands share, and the values made from them."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clarion.app.cli.remote import Remote
from clarion.app.config.loading import load
from clarion.app.config.settings import Config
from clarion.domain.errors import OperatorError

ConfigFile = Annotated[
    Path | None, typer.Option("--config", envvar="CLARION_CONFIG", help="TOML file; default: ./clarion.toml if any")
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="where everything durable lives; wins over the file")]
Url = Annotated[str | None, typer.Option("--url", envvar="CLARION_URL", help="base URL of a running Clarion")]
Key = Annotated[str | None, typer.Option("--key", envvar="CLARION_KEY", help="API key", show_default=False)]


def configuration(config_file: Path | None, data_dir: Path | None) -> Config:
    """Return the configuration of this run of a command."""
    env = dict(os.environ)
    if data_dir is not None:
        env["CLARION_DATA_DIR"] = str(data_dir)
    return load(config_file, env)


def remote(url: str | None, key: str | None) -> Remote:
    """Return a client of the API named by the options, else of the one configured here with the operator's key."""
    if url is not None and key is not None:
        return Remote(url, key)
    config = configuration(None, None)
    secret = key or (_operator_key(config) if url is None else None)
    if secret is None:
        raise OperatorError("No API key: give --key or set CLARION_KEY.")
    return Remote(url or _own_url(config), secret)


def _own_url(config: Config) -> str:
    """Return where the API configured here is reached from here: by its public name when it has a certificate, which is
    for that name."""
    scheme = config.listening_url.partition(":")[0]
    if scheme == "https" and config.api.public_url:
        return config.public_url
    return f"{scheme}://{_reachable(config.api.host)}:{config.api.port}"


def _operator_key(config: Config) -> str | None:
    path = config.data_dir / "operator.key"
    try:
        return config.operator_key or (path.read_text().strip() if path.exists() else None)
    except OSError as error:
        raise OperatorError(f"Cannot read {path}: {error.strerror}.") from error


def _reachable(host: str) -> str:
    """Return the address to connect to for a listening address."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
