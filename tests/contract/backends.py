"""The backends that contract suites run over, what each declares, and how a control store is opened on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.secrets import Vault
from clarion.runtime.clock import SystemClock
from clarion.stores.memory.account_health import MemoryAccountHealth
from clarion.stores.memory.presence import MemoryPresence
from clarion.stores.memory.quotas import MemoryQuotas
from clarion.stores.postgres.account_health import PostgresAccountHealth
from clarion.stores.postgres.control import PostgresControl
from clarion.stores.postgres.directory import PostgresDirectory
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.presence import PostgresPresence
from clarion.stores.postgres.quotas import PostgresQuotas
from clarion.stores.sqlite.account_health import SqliteAccountHealth
from clarion.stores.sqlite.control import SqliteControl
from clarion.stores.sqlite.control_memory import MemoryControl
from clarion.stores.sqlite.directory import SqliteDirectory
from clarion.stores.sqlite.presence import SqlitePresence
from clarion.stores.sqlite.quotas import SqliteQuotas
from tests.engines.postgres import database_of

SURVIVES: Final = "survives_process_kill"
SHARED: Final = "shared_by_processes"

ONCE: Final = "carries_once"
REPEATS: Final = "repeats"

TRAITS: Final[dict[str, frozenset[str]]] = {
    "memory": frozenset({ONCE}),
    "repeating": frozenset({REPEATS}),
    "sqlite": frozenset({ONCE, SURVIVES, SHARED}),
    "postgres": frozenset({ONCE, SURVIVES, SHARED}),
}
"""What a backend declares. A case marked `needs_trait` is left out on a backend that does not declare it."""

EVERY_PORT: Final = ("memory", "sqlite")
"""The backends that implement every port."""

ENGINES: Final = frozenset({"postgres"})
"""The backends over a server, which tests start. Their cases carry the mark `engines`."""

Opened = tuple[Control, Any]
"""A control store and its directory, which can be closed, too."""


def memory(_folder: Path, vault: Vault, clock: Clock) -> Opened:
    control = MemoryControl(vault, clock)
    return control, control.directory


def sqlite(folder: Path, vault: Vault, clock: Clock) -> Opened:
    control = SqliteControl(folder, vault, clock)
    return control, SqliteDirectory.of_file(folder, vault, clock, control.changes)


def postgres(folder: Path, vault: Vault, clock: Clock) -> Opened:
    database = Database(database_of(folder))
    control = PostgresControl(database, vault, clock)
    return control, PostgresDirectory(database, vault, clock, control.changes)


CONTROLS: Final[dict[str, Callable[[Path, Vault, Clock], Opened]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgres": postgres,
}

Quotas = MemoryQuotas | SqliteQuotas | PostgresQuotas
QUOTAS: Final[dict[str, Callable[[Path], Quotas]]] = {
    "memory": lambda _folder: MemoryQuotas(),
    "sqlite": SqliteQuotas,
    "postgres": lambda folder: PostgresQuotas(Database(database_of(folder))),
}

AnyPresence = MemoryPresence | SqlitePresence | PostgresPresence
PRESENCE: Final[dict[str, Callable[[Path], AnyPresence]]] = {
    "memory": lambda _folder: MemoryPresence(SystemClock()),
    "sqlite": SqlitePresence,
    "postgres": lambda folder: PostgresPresence(Database(database_of(folder))),
}

AnyAccountHealth = MemoryAccountHealth | SqliteAccountHealth | PostgresAccountHealth
ACCOUNT_HEALTH: Final[dict[str, Callable[[Path], AnyAccountHealth]]] = {
    "memory": lambda _folder: MemoryAccountHealth(),
    "sqlite": SqliteAccountHealth,
    "postgres": lambda folder: PostgresAccountHealth(Database(database_of(folder))),
}
