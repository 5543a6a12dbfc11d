"""Opens the sides of a migration as the settings name them: the files in `data_dir`, and the database of `postgres`."""

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from clarion.app.config.settings import Config
from clarion.app.wiring.stores import postgres
from clarion.domain.errors import OperatorError
from clarion.outbound.secrets.master_key import KEY_FILE, FileVault
from clarion.ports.store_rows import Row, StoreRows
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.store_rows import SqliteRows, trial

ENGINES: Final = ("sqlite", "postgres")


def check_engines(source: str, target: str) -> None:
    """Raise `OperatorError` unless both are engines that keep what they store, and they are not the same."""
    for option, engine in (("--from", source), ("--to", target)):
        if engine not in ENGINES:
            raise OperatorError(f"{option} takes {' or '.join(ENGINES)}, not {engine!r}.")
    if source == target:
        raise OperatorError("--from and --to name the same engine.")


def vault_of(config: Config) -> FileVault:
    """Return the vault of an installation. Raises `OperatorError` without its key: one made here would be another."""
    if not config.master_key and not (config.data_dir / KEY_FILE).exists():
        raise OperatorError(
            f"This machine does not have the master_key of the installation: set it, or copy {KEY_FILE} into"
            f" {config.data_dir}."
        )
    return FileVault.load(config.data_dir, config.master_key or None)


async def open_source(config: Config, engine: str) -> StoreRows:
    """Open a side to be read."""
    if engine == "sqlite":
        return SqliteRows.source(config.data_dir)
    opened: StoreRows = await postgres().rows_of_source(config)
    return opened


async def open_target(config: Config, engine: str) -> StoreRows:
    """Open a side to be written."""
    if engine == "sqlite":
        return SqliteRows.target(config.data_dir)
    opened: StoreRows = await postgres().rows_of_target(config)
    return opened


def trial_of(config: Config, engine: str) -> Callable[[Sequence[Row]], Awaitable[None]]:
    """Return a function that writes rows as a side does, and keeps none. The side need not exist yet."""

    async def on_files(rows: Sequence[Row]) -> None:
        with tempfile.TemporaryDirectory(prefix="clarion-") as folder:
            db = connect(path_of(Path(folder), "trial"))
            try:
                trial(db, rows)
            finally:
                db.close()

    async def on_server(rows: Sequence[Row]) -> None:
        await postgres().trial(config, rows)

    return on_files if engine == "sqlite" else on_server
