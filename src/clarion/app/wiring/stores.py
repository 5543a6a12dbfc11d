"""Opens the stores of an installation. All are of the backend that the setting `store` names."""

from collections.abc import Callable
from types import ModuleType
from typing import Final

from clarion.app.config.settings import Config
from clarion.app.wiring.store_set import Stores, check_partitions
from clarion.domain.errors import OperatorError
from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.stores.memory.account_health import MemoryAccountHealth
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.presence import MemoryPresence
from clarion.stores.memory.quotas import MemoryQuotas
from clarion.stores.memory.state import MemoryState
from clarion.stores.sqlite.account_health import SqliteAccountHealth
from clarion.stores.sqlite.control import SqliteControl
from clarion.stores.sqlite.control_memory import MemoryControl
from clarion.stores.sqlite.directory import SqliteDirectory
from clarion.stores.sqlite.journal import SqliteJournal
from clarion.stores.sqlite.presence import SqlitePresence
from clarion.stores.sqlite.quotas import SqliteQuotas
from clarion.stores.sqlite.state import SqliteState

Opening = Callable[[Config, Clock, Vault, Telemetry], Stores]
"""Opens stores of one machine. The schema of those in files has to be up to date."""


def in_files(config: Config, clock: Clock, vault: Vault, telemetry: Telemetry) -> Stores:
    """Open the stores in `data_dir`, shared by all processes of this machine."""
    journal = SqliteJournal(config.data_dir, clock, config.partition_count)
    check_partitions(config, journal.partitions)
    control = SqliteControl(config.data_dir, vault, clock)
    return Stores(
        journal,
        journal,
        control,
        SqliteDirectory.of_file(config.data_dir, vault, clock, control.changes),
        SqliteState(config.data_dir, telemetry),
        SqliteQuotas(config.data_dir),
        SqliteAccountHealth(config.data_dir),
        SqlitePresence(config.data_dir),
    )


def in_memory(config: Config, clock: Clock, vault: Vault, _telemetry: Telemetry) -> Stores:
    """Create empty stores that end with this process."""
    journal, control = MemoryJournal(clock, config.partition_count), MemoryControl(vault, clock)
    return Stores(
        journal,
        journal,
        control,
        control.directory,
        MemoryState(),
        MemoryQuotas(),
        MemoryAccountHealth(),
        MemoryPresence(clock),
    )


_LOCAL: Final[dict[str, Opening]] = {"sqlite": in_files, "memory": in_memory}


async def open_stores(config: Config, clock: Clock, vault: Vault, telemetry: Telemetry, role: str) -> Stores:
    """Open the stores that the settings name, for a process of a role. Raises `OperatorError` when they cannot be used."""
    if config.store == "postgres":
        stores: Stores = await postgres().on_server(config, clock, vault, telemetry, role)
        return stores
    return _LOCAL[config.store](config, clock, vault, telemetry)


def postgres() -> ModuleType:
    """Return the module of the stores on PostgreSQL, `app/wiring/postgres_stores.py`. Raises `OperatorError` when the driver is not
    installed."""
    try:
        from clarion.app.wiring import postgres_stores
    except ImportError:
        raise OperatorError(
            'store = "postgres": the driver is not installed; in a checkout run: make environment EXTRAS=postgres.'
        ) from None
    return postgres_stores
