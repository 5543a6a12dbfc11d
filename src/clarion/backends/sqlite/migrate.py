"""Schema migrations by Alembic: one line of revisions per file, under `migrations/<name>/`.

`upgrade` is safe to call from every process at start: a file lock lets one of them do the work, and each upgrade is one
transaction, so a crash leaves either the old schema or the new one.
"""

import fcntl
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from clarion.backends.sqlite.connection import connect

NAMES: Final = ("control", "journal", "state")
_ROOT: Final = Path(__file__).parent / "migrations"


def path_of(data_dir: Path, name: str) -> Path:
    """Return the file of a concern."""
    return data_dir / f"{name}.db"


def upgrade(data_dir: Path, name: str) -> Path:
    """Bring one file to the newest revision, creating it if needed, and return its path."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = path_of(data_dir, name)
    with (data_dir / ".migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connect(path).close()  # page size and WAL are fixed before the first table
        engine = _engine(path)
        config = Config()
        config.set_main_option("script_location", _escaped(_ROOT))
        config.set_main_option("version_locations", _escaped(_ROOT / name))
        config.set_main_option("path_separator", "newline")  # paths may hold spaces and colons
        try:
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            engine.dispose()
    return path


def upgrade_all(data_dir: Path) -> None:
    """Bring every file to its newest revision."""
    for name in NAMES:
        upgrade(data_dir, name)


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)

    # The driver begins no transaction ahead of DDL by itself, which would leave half an upgrade behind.
    @event.listens_for(engine, "connect")
    def _manual(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
