"""The stores of an installation. All are of the backend that the setting `store` names."""

from collections.abc import Callable
from typing import NamedTuple

from clarion.app.config import Config
from clarion.backends.memory.account_health import MemoryAccountHealth
from clarion.backends.memory.control import MemoryControl
from clarion.backends.memory.control_state import ControlState
from clarion.backends.memory.directory import MemoryDirectory
from clarion.backends.memory.journal import MemoryJournal
from clarion.backends.memory.quotas import MemoryQuotas
from clarion.backends.memory.state import MemoryState
from clarion.backends.sqlite.account_health import SqliteAccountHealth
from clarion.backends.sqlite.control import SqliteControl
from clarion.backends.sqlite.directory import SqliteDirectory
from clarion.backends.sqlite.journal import SqliteJournal
from clarion.backends.sqlite.quotas import SqliteQuotas
from clarion.backends.sqlite.state import SqliteState
from clarion.ports.account_health import AccountHealthStore
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.directory import Directory
from clarion.ports.quotas import Quotas
from clarion.ports.secrets import Vault
from clarion.ports.stage_store import StageStore
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry


class Stores(NamedTuple):
    """All stores, behind their ports. One backend may be both the streams and the stage store."""

    streams: Streams
    store: StageStore
    control: Control
    directory: Directory
    state: SqliteState | MemoryState
    quotas: Quotas
    account_health: AccountHealthStore

    async def close(self) -> None:
        """Close the stores that hold files, writers first."""
        await self.store.close()
        await self.control.close()
        self.directory.close()
        self.state.close()
        self.quotas.close()
        self.account_health.close()


Opening = Callable[[Config, Clock, Vault, Telemetry], Stores]
"""Opens the stores of an installation. The schema of those in files has to be up to date."""


def in_files(config: Config, clock: Clock, vault: Vault, telemetry: Telemetry) -> Stores:
    """Open the stores in `data_dir`, shared by all processes of this machine."""
    journal = SqliteJournal(config.data_dir, clock, config.partition_count)
    control = SqliteControl(config.data_dir, vault, clock)
    return Stores(
        journal,
        journal,
        control,
        SqliteDirectory(config.data_dir, vault, clock, control.changes),
        SqliteState(config.data_dir, telemetry),
        SqliteQuotas(config.data_dir),
        SqliteAccountHealth(config.data_dir),
    )


def in_memory(config: Config, clock: Clock, vault: Vault, _telemetry: Telemetry) -> Stores:
    """Create empty stores that end with this process."""
    journal, control = MemoryJournal(clock, config.partition_count), ControlState()
    return Stores(
        journal,
        journal,
        MemoryControl(control, vault, clock),
        MemoryDirectory(control, vault, clock),
        MemoryState(),
        MemoryQuotas(),
        MemoryAccountHealth(),
    )


OPENINGS: dict[str, Opening] = {"sqlite": in_files, "memory": in_memory}
