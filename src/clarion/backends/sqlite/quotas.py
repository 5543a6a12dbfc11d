"""Usage of quotas in `quota.db`, shared by all processes on one machine.

The file is written without a single fsync, on the event loop: a change takes some 20 us, and whatever is lost at a power
cut was only usage. It has no migrations for the same reason: a file that is broken, or of another layout, is made anew.
It is opened when the first caller with a quota comes.
"""

import fcntl
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw

from clarion.backends.sqlite.connection import connect
from clarion.backends.sqlite.migrate import path_of
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_deciding import QUOTA_STORE_WAIT_MS
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName

_LOG: Final = logging.getLogger("clarion.quotas")
T = TypeVar("T")

_LAYOUT: Final = 1
_CACHE_KIB: Final = 2_048
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS usage (
    tenant TEXT NOT NULL, key_id TEXT NOT NULL, kind TEXT NOT NULL,
    used_m INTEGER NOT NULL, at_ms INTEGER NOT NULL, period INTEGER NOT NULL,
    PRIMARY KEY (tenant, key_id, kind)) WITHOUT ROWID
"""
_READ: Final = "SELECT used_m, at_ms, period FROM usage WHERE tenant = ? AND key_id = ? AND kind = ?"
_WRITE: Final = "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?)"


class SqliteQuotas:
    """Implements `ports/quotas.py`. Used by one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._path = path_of(data_dir, "quota")
        self._db: apsw.Connection | None = None

    def change(self, names: Sequence[BucketName], decide: Callable[[list[Usage]], tuple[Sequence[Usage], T]]) -> T:
        """Read buckets, store what `decide` makes of them, and return what it returns beside that, as one transaction."""
        try:
            db = self._db = self._db or _opened(self._path)
            db.execute("BEGIN IMMEDIATE")
            try:
                usages, answer = decide([_read(db, name) for name in names])
                for name, usage in zip(names, usages, strict=True):
                    db.execute(_WRITE, (*name, *usage))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except (apsw.BusyError, apsw.FullError) as error:
            raise Overloaded("quotas cannot be counted now") from error
        except apsw.Error as error:
            raise DurabilityError(f"the store of quotas failed: {error}") from error
        return answer

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _read(db: apsw.Connection, name: BucketName) -> Usage:
    row = db.execute(_READ, name).fetchone()
    return Usage() if row is None else Usage(*row)


def _opened(path: Path) -> apsw.Connection:
    """Open the file; one that is broken or of another layout is made anew, by one process alone."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        db = _good(path)
        if db is None:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            db = _connected(path)
            db.execute(_CREATE)
            db.pragma("user_version", _LAYOUT)
    return db


def _good(path: Path) -> apsw.Connection | None:
    if not path.exists():
        return None
    db = None
    try:
        db = _connected(path)
        if db.pragma("user_version") == _LAYOUT and db.pragma("quick_check") == "ok":
            return db
    except (apsw.CorruptError, apsw.NotADBError) as error:
        _LOG.warning("%s is broken and is made anew, so what was used is forgotten: %s", path.name, error)
    if db is not None:
        db.close()
    return None


def _connected(path: Path) -> apsw.Connection:
    db = connect(path, cache_kib=_CACHE_KIB, busy_wait_ms=QUOTA_STORE_WAIT_MS)
    db.pragma("synchronous", "off")
    return db
