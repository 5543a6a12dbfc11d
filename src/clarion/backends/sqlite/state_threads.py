"""Connections to `state.db`, one reader and one writer a thread, opened when first needed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from clarion.backends.sqlite.connection import connect
from clarion.domain.errors import DurabilityError


class Threads:
    """The open connections of one process to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[apsw.Connection] = []

    def reader(self) -> apsw.Connection:
        """Return this thread's connection that cannot write."""
        db: apsw.Connection | None = getattr(self._local, "reader", None)
        if db is None:
            db = self._local.reader = self._connect(readonly=True)
        return db

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Hold the write lock from begin to a durable commit. Raises `DurabilityError` when the commit fails; any error
        inside rolls everything back."""
        db: apsw.Connection | None = getattr(self._local, "writer", None)
        if db is None:
            db = self._local.writer = self._connect(readonly=False)
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        try:
            db.execute("COMMIT")
        except apsw.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise DurabilityError(f"state.db: commit failed: {error}") from error

    def close(self) -> None:
        """Close everything that was opened."""
        with self._lock:
            for db in self._open:
                db.close()
            self._open.clear()

    def _connect(self, *, readonly: bool) -> apsw.Connection:
        db = connect(self._path, readonly=readonly)
        with self._lock:
            self._open.append(db)
        return db
