"""Opening SQLite files: WAL, `synchronous=FULL`, 16 KiB pages and a busy handler with short, constant sleeps.

SQLite's own busy backoff sleeps up to 100 ms and gave tail latencies of 0.3-0.8 s with two writers; sleeps of about a
millisecond keep them near 40 ms (docs/adr/0002).
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw

from clarion.domain.errors import OperatorError

BUSY_TIMEOUT_MS: Final = 10_000
_NAP_S: Final = 0.001
_PAGE_BYTES: Final = 16_384
_MMAP_BYTES: Final = 1 << 30


def _napper(wait_ms: int) -> Callable[[int], bool]:
    deadline = 0.0

    def handler(prior_calls: int) -> bool:
        nonlocal deadline
        now = time.monotonic()
        if prior_calls == 0:
            deadline = now + wait_ms / 1000
        if now >= deadline:
            return False
        time.sleep(_NAP_S)
        return True

    return handler


def connect(
    path: Path,
    *,
    readonly: bool = False,
    cache_kib: int = 65_536,
    mmap: bool = False,
    busy_wait_ms: int = BUSY_TIMEOUT_MS,
) -> apsw.Connection:
    """Return a connection to a file. Writers get durable settings; readers cannot write.

    A connection belongs to one thread at a time. Raises `apsw.Error` when the file cannot be opened and `OperatorError`
    when its file system does not support a write-ahead log.
    """
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    db = apsw.Connection(str(path), flags=flags, statementcachesize=200)
    db.set_busy_handler(_napper(busy_wait_ms))
    # Plans may otherwise depend on values, that of a LIMIT included: SQLite compiles such a statement anew at each use.
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    if not readonly:
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        # A failed switch raises nothing: SQLite returns the mode that is still in use.
        if db.pragma("journal_mode", "wal") != "wal":
            db.close()
            raise OperatorError(f"{path} cannot use a write-ahead log; is it on a network file system?")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=1000")
        db.execute("PRAGMA journal_size_limit=67108864")
        db.execute("PRAGMA foreign_keys=ON")
    db.execute(f"PRAGMA cache_size=-{cache_kib}")
    db.execute("PRAGMA temp_store=MEMORY")
    if mmap:
        db.execute(f"PRAGMA mmap_size={_MMAP_BYTES}")
    return db


class ReadConnections:
    """Read-only connections to a file that a writer has opened, one for each thread that reads."""

    def __init__(self, path: Path, cache_kib: int = 65_536) -> None:
        self._path = path
        self._cache_kib = cache_kib
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[apsw.Connection] = []

    def of_thread(self) -> apsw.Connection:
        """Return the connection of the calling thread, opened if needed. Raises `apsw.Error`."""
        db: apsw.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = connect(self._path, readonly=True, cache_kib=self._cache_kib)
            with self._lock:
                self._open.append(db)
        return db

    def close(self) -> None:
        """Close all connections. No thread may be reading."""
        with self._lock:
            for db in self._open:
                db.close()
            self._open.clear()


def fetch_all(db: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return all rows; the statement determines the columns' types."""
    return db.execute(sql, values).fetchall()


def fetch_one(db: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
    """Return the first row, or None without one. The statement must yield at most one row: an unfinished statement
    would hold its snapshot."""
    return db.execute(sql, values).fetchone()
