"""The control store in `control.db`."""

from pathlib import Path

from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.sql.control import SqlControl
from clarion.stores.sqlite.audience_count import SqliteAudiences
from clarion.stores.sqlite.control_engine import SqliteEngine
from clarion.stores.sqlite.migrate import path_of


class SqliteControl(SqlControl):
    """All repositories over one file; call `migrate.upgrade(data_dir, "control")` first.

    Raises `SealBroken` when the vault's master key is not the one this store was created with.
    """

    def __init__(self, data_dir: Path, vault: Vault, clock: Clock) -> None:
        engine = SqliteEngine(path_of(data_dir, "control"))
        super().__init__(engine, SqliteAudiences(data_dir, clock), vault, clock)
        self.changes = engine.changes
        """The changes of definitions that this process made."""
        self._file = engine
        engine.run_now(self._check_key)

    async def close(self) -> None:
        """Finish queued transactions and close."""
        await self.audiences.close()
        await self._file.close()
