"""Schema migrations by Alembic: one line of revisions per file, under `migrations/<name>/`.

`upgrade` is safe to call from every process at start: a file lock lets one of them do the work, and each upgrade is one
transaction, so a crash leaves either the old schema or the new one. An existing database is backed up first, to
`<file>.<old revision>.backup`.
"""

import fcntl
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from clarion.domain.errors import OperatorError
from clarion.stores.sqlite.connection import connect, fetch_one

NAMES: Final = ("control", "journal", "state")
_log = logging.getLogger(__name__)
_ROOT: Final = Path(__file__).parent / "migrations"


def path_of(data_dir: Path, name: str) -> Path:
    """Return the path of a database file by its name, such as `journal`."""
    return data_dir / f"{name}.db"


def upgrade(data_dir: Path, name: str) -> Path:
    """Upgrade one file to the newest revision, creating it if needed, and return its path.

    Raises `OperatorError` when a newer build wrote it, or it cannot be read, copied or written. Call it before this process
    opens the file: Alembic's driver brings its own copy of SQLite, and when that copy closes the file it drops the
    POSIX locks this process holds on it. Alembic's driver does not open a file that is up to date.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = path_of(data_dir, name)
    with (data_dir / ".migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            _migrate(path, name)
        except (apsw.Error, SQLAlchemyError) as error:
            raise OperatorError(f"{path} cannot be opened or migrated: {_words(error)}.") from error
    return path


def create_in_memory(name: str) -> bytes:
    """Return a new database of the newest revision, as the content of its file."""
    engine = _engine(":memory:")
    try:
        _upgrade(engine, _config(name))
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            content: bytes = driver.serialize()
            return content
    finally:
        engine.dispose()


def find_difference(data_dir: Path, *, made: bool = True) -> str | None:
    """Return in one sentence how the schema of a file differs from what this build needs, None when none does. Without `made`, a
    file that is missing or has no schema yet is none. Changes nothing."""
    for name in NAMES:
        path = path_of(data_dir, name)
        current = _current(path) if path.exists() else None
        if current is None and not made:
            continue
        if current is None:
            return f"{path} has no schema yet: run 'clarion migrate'."
        if current not in _revisions(name):
            return _newer(path, current, name)
        if current != _newest(name):
            return f"The schema of {path} is too old ({current}, and this build needs {_newest(name)}): run 'clarion migrate'."
    return None


def _newer(path: Path, current: str, name: str) -> str:
    return (
        f"{path} was written by a newer build of Clarion (its schema is {current}, and this build reads up to"
        f" {_newest(name)}): start that build or a newer one, or restore a backup."
    )


def _config(name: str) -> Config:
    config = Config()
    config.set_main_option("script_location", _escaped(_ROOT))
    config.set_main_option("version_locations", _escaped(_ROOT / name))
    config.set_main_option("path_separator", "newline")  # paths may hold spaces and colons
    return config


@cache
def _newest(name: str) -> str | None:
    """Return the newest revision of a database. It is part of the code, so it is looked up once."""
    return ScriptDirectory.from_config(_config(name)).get_current_head()


def _migrate(path: Path, name: str) -> None:
    current = _current(path)
    if current == _newest(name):
        return
    if current is not None:
        if current not in _revisions(name):
            raise OperatorError(_newer(path, current, name))
        copy = _back_up(path, current)
        _log.info("%s is upgraded from %s to %s; its backup is %s", path, current, _newest(name), copy)
    _run(path, _config(name))


def _words(error: Exception) -> str:
    """Return the driver's message without the statement."""
    return str(getattr(error, "orig", None) or error)


@cache
def _revisions(name: str) -> frozenset[str]:
    return frozenset(one.revision for one in ScriptDirectory.from_config(_config(name)).walk_revisions())


def _current(path: Path) -> str | None:
    db = connect(path)  # also fixes page size and WAL before the first table
    try:
        if fetch_one(db, "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'") is None:
            return None
        row = fetch_one(db, "SELECT version_num FROM alembic_version")
        return None if row is None else str(row[0])
    finally:
        db.close()


def _back_up(path: Path, revision: str) -> Path:
    """Copy a file, whole or not at all, and return the copy's path; an older copy of the same revision is replaced."""
    copy = path.with_name(f"{path.name}.{revision}.backup")
    draft = copy.with_name(f"{copy.name}.part")
    draft.unlink(missing_ok=True)
    source = connect(path, readonly=True)
    try:
        source.execute("VACUUM INTO ?", (str(draft),))
    except (apsw.FullError, apsw.IOError) as error:
        draft.unlink(missing_ok=True)
        raise OperatorError(f"{path} cannot be backed up before its migration: {error}.") from error
    finally:
        source.close()
    _sync(draft)
    draft.replace(copy)
    _sync(copy.parent)
    return copy


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _run(path: Path, config: Config, revision: str = "head") -> None:
    engine = _engine(str(path))
    try:
        _upgrade(engine, config, revision)
    finally:
        engine.dispose()


def _upgrade(engine: Engine, config: Config, revision: str = "head") -> None:
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _engine(database: str) -> Engine:
    pool = StaticPool if database == ":memory:" else NullPool
    engine = create_engine(URL.create("sqlite", database=database), poolclass=pool)

    # The driver does not begin a transaction before DDL by itself, so a crash would leave half an upgrade.
    @event.listens_for(engine, "connect")
    def _manual(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
