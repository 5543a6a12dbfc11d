"""Reading the configuration.

`defaults.toml` next to this file is the only place that holds defaults. A TOML file and `CLARION_*` variables override
it, in this order. Every error is an `OperatorError` that names the setting's path.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from clarion.app.config.secret_settings import SECRET_SETTINGS, read_secret_settings
from clarion.app.config.settings import Config
from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import PARTITIONS_MAX

ENV_PREFIX: Final = "CLARION_"
ENV_OF_THE_CLI: Final = frozenset(
    {
        "CLARION_URL", "CLARION_KEY", "CLARION_CA_FILE", "CLARION_CLIENT_FILE", "CLARION_CONFIG", "CLARION_SUPERVISOR_PID", "CLARION_START",
        "CLARION_ENDED_STARTS", "CLARION_BENCH_DELAYS",
    }
)  # fmt: skip
"""Variables that the command line itself reads; they are not settings."""
REFERENCE_VARIABLES: Final = {f"{ENV_PREFIX}{path.replace('.', '_').upper()}_FROM": path for path in SECRET_SETTINGS}
"""Variables that hold the reference to a secret setting, and the setting's path."""
DEFAULT_FILE: Final = Path("clarion.toml")
PARTITION_COUNTS: Final = (0, *(1 << bits for bits in range(PARTITIONS_MAX.bit_length())))
"""Accepted values of `journal.partitions`: each partition holds as many slots as every other."""


def defaults_text() -> str:
    """Return the text of `defaults.toml`."""
    return resources.files("clarion.app.config").joinpath("defaults.toml").read_text()


def load(path: Path | None, env: Mapping[str, str]) -> Config:
    """Return the configuration from the defaults, a TOML file (`clarion.toml` in the working directory when `path` is
    None and it exists) and `CLARION_*` variables. Raises `OperatorError` when one of them is invalid."""
    tree = tomllib.loads(defaults_text())
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    if path is not None:
        _overlay(tree, _read(path), str(path))
    for name, text in sorted(env.items()):
        if name.startswith(ENV_PREFIX) and name not in ENV_OF_THE_CLI:
            _overlay_variable(tree, name, text)
    read_secret_settings(tree, env)
    try:
        config = msgspec.convert(tree, Config, dec_hook=_path)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        raise OperatorError(f"Setting {where.rstrip('`')}: {reason[:1].lower()}{reason[1:]}.") from error
    if (partitions := config.journal.partitions) not in PARTITION_COUNTS:
        accepted = ", ".join(map(str, PARTITION_COUNTS))
        raise OperatorError(f"Setting journal.partitions: expected one of {accepted}, not {partitions}.")
    return config


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise TypeError(f"expected a path, got {type(value).__name__}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise OperatorError(f"Cannot read the configuration file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"The configuration file {path} is not valid TOML: {error}.") from error


def _overlay(tree: dict[str, Any], over: Mapping[str, Any], source: str, prefix: str = "") -> None:
    for key, value in over.items():
        if key not in tree:
            known = [path.removeprefix(prefix) for path, _ in _settings(tree, prefix)]
            raise OperatorError(f"{source}: there is no setting {prefix}{key}.{_suggestion(key, known)}")
        if isinstance(tree[key], dict):
            if not isinstance(value, Mapping):
                raise OperatorError(f"{source}: {prefix}{key} is a section, not a value.")
            _overlay(tree[key], value, source, f"{prefix}{key}.")
        else:
            tree[key] = value


def _overlay_variable(tree: dict[str, Any], name: str, text: str) -> None:
    by_name = {ENV_PREFIX + path.replace(".", "_").upper(): path for path, _ in _settings(tree)}
    by_name |= REFERENCE_VARIABLES
    if name not in by_name:
        raise OperatorError(f"Environment: there is no setting for {name}.{_suggestion(name, list(by_name))}")
    *sections, key = by_name[name].split(".")
    for section in sections:
        tree = tree[section]
    tree[key] = {"from": text} if name in REFERENCE_VARIABLES else _typed(text, tree[key])


def _settings(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _typed(text: str, default: object) -> object:
    """Return a variable's text as a value of the default's type. Text that is no such value is returned unchanged, and
    the type check names the setting."""
    if isinstance(default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if isinstance(default, int):
        return int(text) if text.removeprefix("-").replace("_", "").isdecimal() else text
    if isinstance(default, list):
        kind = default[0] if default else ""
        return [_typed(item.strip(), kind) for item in text.split(",") if item.strip()]
    return text


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""
