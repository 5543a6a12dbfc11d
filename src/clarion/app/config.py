"""Configuration: one typed value, read once at the start of a process and passed on from there.

`defaults.toml` next to this file is the only place that holds defaults. A TOML file and `CLARION_*` variables override
it, in this order. Every error is an `OperatorError` that names the setting's path.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from clarion.app.secret_settings import SECRET_SETTINGS, read_secret_settings
from clarion.domain.errors import OperatorError
from clarion.domain.limits_delivery import AGE_MS_MAX, RETRY_PAUSES_MAX
from clarion.domain.limits_postgres import POSTGRES_POOL_MAX
from clarion.domain.limits_processes import (
    PARTITIONS_MAX,
    PARTITIONS_OF_A_DATABASE,
)
from clarion.domain.settings import NotNegative, OptionalUrl, Positive, Section
from clarion.outbound.secrets.vault_server import VaultServer
from clarion.ways_in.http.settings import Api

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
_PARTITIONS: Final[Mapping[str, int]] = {"postgres": PARTITIONS_OF_A_DATABASE}


class Workers(Section, frozen=True):
    """The worker processes that `clarion up` starts. `count` 0 means one per core."""

    count: NotNegative
    drain_timeout_ms: Positive
    shared_image: bool


class Postgres(Section, frozen=True):
    """The PostgreSQL server, and the connections that one process has to it besides the one that listens. `owner_dsn` is the
    address for the owner of the schema, who migrates; empty where processes log in as the owner. `direct_dsn` leads past a
    pooler; empty where there is none."""

    dsn: str
    direct_dsn: str
    owner_dsn: str
    pool_size: Annotated[int, msgspec.Meta(ge=2, le=POSTGRES_POOL_MAX)]

    def __repr__(self) -> str:
        return f"Postgres(pool_size={self.pool_size})"


class Journal(Section, frozen=True):
    """The journal. `partitions` 0 leaves an existing journal as it is."""

    partitions: NotNegative
    retention_hours: Positive


class Lease(Section, frozen=True):
    """Ownership of partitions."""

    ttl_ms: Annotated[int, msgspec.Meta(ge=500)]


class Plan(Section, frozen=True):
    """Batches of the plan stage."""

    linger_ms: NotNegative
    batch_events: Positive


class Content(Section, frozen=True):
    """The link shortener, and where drafts are rendered."""

    shorten_links: str
    confined: bool


class Concurrency(Section, frozen=True):
    """Concurrent calls to providers, per channel and worker."""

    email: Positive
    sms: Positive
    push: Positive
    webpush: Positive
    whatsapp: Positive
    chat: Positive
    inapp: Positive
    webhook: Positive


Pauses = Annotated[list[Positive], msgspec.Meta(min_length=1, max_length=RETRY_PAUSES_MAX)]
Age = Annotated[int, msgspec.Meta(ge=1, le=AGE_MS_MAX)]


class RetryPauses(Section, frozen=True):
    """The longest pause after each failed pass over a channel's accounts; the last one counts for all further
    passes."""

    email: Pauses
    sms: Pauses
    push: Pauses
    webpush: Pauses
    whatsapp: Pauses
    chat: Pauses
    inapp: Pauses
    webhook: Pauses


class AgeMax(Section, frozen=True):
    """How long a delivery of a channel is retried."""

    email: Age
    sms: Age
    push: Age
    webpush: Age
    whatsapp: Age
    chat: Age
    inapp: Age
    webhook: Age


class Deliver(Section, frozen=True):
    """Attempts and retries of the deliver stage."""

    passes_max: NotNegative
    concurrency: Concurrency
    retry_pauses_ms: RetryPauses
    age_max_ms: AgeMax


class Egress(Section, frozen=True):
    """The networks and addresses that outbound calls may reach."""

    allow_private: list[str]
    allow_http: bool
    ca_file: str


class AwsSecrets(Section, frozen=True):
    """AWS Secrets Manager. Empty: as the library finds them."""

    region: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]*$")]
    endpoint: OptionalUrl


class GcpSecrets(Section, frozen=True):
    """Google Secret Manager."""

    endpoint: Annotated[str, msgspec.Meta(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]+)?$")]


class AzureSecrets(Section, frozen=True):
    """Azure Key Vault."""

    domain: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class Secrets(Section, frozen=True):
    """Which secrets accounts may name instead of giving them, and where else than on this machine."""

    allow: list[str]
    vault: VaultServer
    aws: AwsSecrets
    gcp: GcpSecrets
    azure: AzureSecrets


class Record(Section, frozen=True):
    """Batches of the record stage."""

    linger_ms: NotNegative


class Log(Section, frozen=True):
    """Log lines."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]


class Config(Section, frozen=True):
    """All settings. Immutable; derived values are properties."""

    data_dir: Path
    store: Literal["sqlite", "postgres", "memory"]
    operator_key: str
    master_key: str
    api: Api
    workers: Workers
    postgres: Postgres
    journal: Journal
    lease: Lease
    plan: Plan
    content: Content
    deliver: Deliver
    egress: Egress
    secrets: Secrets
    record: Record
    log: Log

    def __repr__(self) -> str:
        return f"Config(data_dir={str(self.data_dir)!r}, api={self.api!r})"

    @property
    def public_url(self) -> str:
        """The base URL at which providers and recipients reach the API, without a trailing slash."""
        return self.api.public_url.rstrip("/") or self.listening_url

    @property
    def listening_url(self) -> str:
        """The base URL of the address on which the API listens."""
        return f"{'https' if self.api.tls.certificate_file else 'http'}://{self.api.host}:{self.api.port}"

    @property
    def worker_count(self) -> int:
        """The number of workers that share the partitions; with stores in memory it is one, as there is one process."""
        return 1 if self.store == "memory" else self.workers.count or os.cpu_count() or 1

    @property
    def partition_count(self) -> int:
        """The number of partitions of a new journal: as set, or by the store and the number of workers."""
        of_workers = min(1 << (self.worker_count - 1).bit_length(), PARTITIONS_MAX)
        return self.journal.partitions or _PARTITIONS.get(self.store, of_workers)

    @property
    def run_dir(self) -> Path:
        """The folder of the pid files and metrics of running processes; safe to delete while nothing runs."""
        return self.data_dir / "run"


def defaults_text() -> str:
    """Return the text of `defaults.toml`."""
    return resources.files("clarion.app").joinpath("defaults.toml").read_text()


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
