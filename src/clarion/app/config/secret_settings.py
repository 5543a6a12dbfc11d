"""Settings that are secrets and can be given by reference: `operator_key = { from = "file:/run/secrets/operator" }`.

They are read when the process starts, from the stores of its machine alone: of the others, one would have to be set up
first. The operator writes the settings, so no permission is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from clarion.domain.errors import InvalidField, OperatorError
from clarion.domain.secret_reference import is_reference, parse
from clarion.outbound.secrets.environment import EnvironmentStore
from clarion.outbound.secrets.files import FileStore, SystemdStore
from clarion.outbound.secrets.reader import text_of
from clarion.ports.secret_stores import SecretStore, SecretUnavailable

SECRET_SETTINGS: Final = (
    "operator_key",
    "master_key",
    "postgres.dsn",
    "postgres.direct_dsn",
    "postgres.owner_dsn",
    "secrets.vault.token",
    "secrets.vault.secret_id",
)
_GUARDED: Final = "postgres."
"""Addresses hold a password that works from any machine, so their files are refused when every user can read them."""
_OF_OTHERS: Final = 0o007
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the folder of a service's credentials."""


def read_secret_settings(tree: dict[str, Any], env: Mapping[str, str]) -> None:
    """Replace references by their values. Raises `OperatorError` for one that cannot be used."""
    stores: dict[str, SecretStore] = {
        "env": EnvironmentStore(env),
        "file": FileStore(),
        "systemd": SystemdStore(env.get(CREDENTIALS_DIRECTORY)),
    }
    for path in SECRET_SETTINGS:
        section, (*sections, key) = tree, path.split(".")
        for name in sections:
            section = section[name]
        if isinstance(section[key], dict):
            section[key] = _value(section[key], path, stores)
    for index, one in enumerate(_providers(tree)):
        if isinstance(one.get("client_secret"), dict):
            path = f"sign_in.providers[{index}].client_secret"
            one["client_secret"] = _value(one["client_secret"], path, stores)


def _providers(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tables of identity providers; what is none is refused where all settings are checked."""
    given = tree["sign_in"]["providers"]
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _value(given: dict[str, Any], path: str, stores: Mapping[str, SecretStore]) -> str:
    if not is_reference(given):
        raise OperatorError(f'Setting {path}: must be text or {{ from = "store:place" }}.')
    try:
        reference = parse(given, path)
    except InvalidField as error:
        raise OperatorError(f"Setting {path}: {error.detail}.") from None
    store = stores.get(reference.store)
    if store is None:
        known = ", ".join(stores)
        raise OperatorError(f"Setting {path}: a setting cannot be read from the store of {reference} (only {known}).")
    try:
        text = text_of(store.read(reference.place, ""))
    except SecretUnavailable as error:
        raise OperatorError(f"Setting {path}: the secret {reference} {error.words} ({error.code}).") from None
    if path.startswith(_GUARDED) and reference.store == "file" and Path(reference.place).stat().st_mode & _OF_OTHERS:
        raise OperatorError(
            f"Setting {path}: {reference.place} can be used by other users: chmod 600 {reference.place}."
        )
    return text
