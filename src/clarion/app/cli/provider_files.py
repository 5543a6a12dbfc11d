"""`clarion providers pull` and `apply`: accounts as files, which hold references and no secrets."""

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from clarion.app.cli.options import Key, Url, remote
from clarion.domain.address import key as checked_key
from clarion.domain.errors import CallerError, OperatorError

Folder = Annotated[Path, typer.Argument(help="folder with a file <name>.json for each account")]
_BODY: Final = ("channel", "vendor", "priority", "weight", "enabled", "settings", "limits", "breaker", "on_ambiguous")
_SUFFIX: Final = ".json"


def pull_providers(folder: Folder, url: Url = None, key: Key = None) -> None:
    """Write each account into a file, with its credentials if all of them were given by reference."""
    accounts = list(remote(url, key).pages("/v1/providers"))
    folder.mkdir(parents=True, exist_ok=True)
    for account in accounts:
        path = folder / f"{account['name']}{_SUFFIX}"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(file_of(account)), indent=2) + b"\n")
        by_value = ", ".join(sorted(set(account["credentials_set"]) - account["credentials_from"].keys()))
        typer.echo(f"{path}{f' (without its credentials: {by_value} by value)' if by_value else ''}")


def apply_providers(
    folder: Folder,
    verify: Annotated[bool, typer.Option("--verify", help="ask the vendors first whether the accounts work")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Create or replace the accounts that a folder describes; other accounts stay. Stops at the first refusal."""
    bodies = {path: _read(path) for path in sorted(folder.glob(f"*{_SUFFIX}"))}
    if not bodies:
        raise OperatorError(f"{folder} has no file <name>{_SUFFIX}.")
    client = remote(url, key)
    for path, body in bodies.items():
        name = path.name.removesuffix(_SUFFIX)
        client.put(f"/v1/providers/{name}{'?verify=true' if verify else ''}", body)
        typer.echo(f"{name}: {body.get('channel')} through {body.get('vendor')}")


def file_of(account: dict[str, Any]) -> dict[str, Any]:
    """Return the body that stores an account as the API shows it. Without credentials by value it holds all of them as
    references; otherwise none, so that the stored ones stay."""
    body = {name: account[name] for name in _BODY}
    references = account["credentials_from"]
    if references and references.keys() == set(account["credentials_set"]):
        body["credentials"] = {name: {"from": source} for name, source in references.items()}
    return body


def _read(path: Path) -> dict[str, Any]:
    try:
        checked_key(path.name.removesuffix(_SUFFIX), "name")
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except CallerError as error:
        raise OperatorError(f"{path} is not named after an account: the name {error.detail}.") from error
    except OSError as error:
        raise OperatorError(f"Cannot read {path}: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is not a JSON object.") from error
