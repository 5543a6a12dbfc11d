"""The set of stores that a process works with, whatever backend they are of."""

from typing import TYPE_CHECKING, NamedTuple

from clarion.app.config.settings import Config
from clarion.domain.errors import OperatorError
from clarion.ports.account_health import AccountHealthStore
from clarion.ports.control import Control
from clarion.ports.directory import Directory
from clarion.ports.presence import Presence
from clarion.ports.quotas import Quotas
from clarion.ports.stage_store import StageStore
from clarion.ports.streams import Streams
from clarion.stores.memory.state import MemoryState
from clarion.stores.sqlite.state import SqliteState

if TYPE_CHECKING:  # its driver need not be installed
    from clarion.stores.postgres.state import PostgresState


class Stores(NamedTuple):
    """All stores, behind their ports. One backend may be both the streams and the stage store."""

    streams: Streams
    store: StageStore
    control: Control
    directory: Directory
    state: "SqliteState | MemoryState | PostgresState"
    quotas: Quotas
    account_health: AccountHealthStore
    presence: Presence

    async def close(self) -> None:
        """Close the stores that hold files or connections, writers first."""
        await self.store.close()
        await self.control.close()
        self.directory.close()
        self.state.close()
        self.quotas.close()
        self.account_health.close()
        self.presence.close()


def check_partitions(config: Config, stored: int) -> None:
    """Raise `OperatorError` when a journal does not have the number of partitions that is set."""
    wanted = config.journal.partitions
    if wanted not in (0, stored):
        raise OperatorError(
            f"The journal has {stored} partitions, and journal.partitions is {wanted}: to change it, stop every process and"
            " run 'clarion init' or 'clarion up'; 0 keeps what the journal has."
        )
