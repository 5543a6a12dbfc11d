"""Connections to `state.db`: readers in the calling thread, and one dedicated thread for writes and bulk reads.

The event loop never waits for a disk write, nor for another process that holds the file.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from clarion.domain.errors import DurabilityError, NoRoom
from clarion.ports.telemetry import Telemetry
from clarion.stores.sqlite.connection import ReadConnections, connect

T = TypeVar("T")


class Threads:
    """The open connections of one process to one file. The CPU time of its thread counts as the stage `record`."""

    def __init__(self, path: Path, telemetry: Telemetry | None = None) -> None:
        self._path = path
        self._telemetry = telemetry
        # The executor starts its thread with the first job.
        self._own = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._readers = ReadConnections(path)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[apsw.Connection] = []

    def reader(self) -> apsw.Connection:
        """Return this thread's read-only connection."""
        return self._readers.of_thread()

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run work that reads many rows on the store's thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._own, self._timed, lambda: work(self.reader()))

    async def run_long_read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run a read that may take long on the store's thread and return its result. Its CPU time is not counted as the
        stage's."""
        return await asyncio.get_running_loop().run_in_executor(self._own, lambda: work(self.reader()))

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run work in a transaction on the store's thread and return its result once the transaction is durable. Raises
        like `transaction`."""
        return await asyncio.get_running_loop().run_in_executor(self._own, self._timed, lambda: self._written(work))

    def _written(self, work: Callable[[apsw.Connection], T]) -> T:
        with self.transaction() as db:
            return work(db)

    def _timed(self, work: Callable[[], T]) -> T:
        if self._telemetry is None:
            return work()
        with self._telemetry.cpu("record"):
            return work()

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Hold the write lock from begin to a durable commit. Raises `DurabilityError` when the commit fails; any error
        within the block rolls back the transaction."""
        db: apsw.Connection | None = getattr(self._local, "writer", None)
        if db is None:
            db = self._local.writer = self._connect()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException as error:
            if db.in_transaction:  # SQLite has rolled back when the disk is full
                db.execute("ROLLBACK")
            if isinstance(error, apsw.FullError):
                raise NoRoom(f"state.db: {error}") from error
            raise
        try:
            db.execute("COMMIT")
        except apsw.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            kind = NoRoom if isinstance(error, apsw.FullError) else DurabilityError
            raise kind(f"state.db: commit failed: {error}") from error

    def close(self) -> None:
        """Close all connections."""
        self._own.shutdown()
        self._readers.close()
        with self._lock:
            for db in self._open:
                db.close()
            self._open.clear()

    def _connect(self) -> apsw.Connection:
        db = connect(self._path)
        with self._lock:
            self._open.append(db)
        return db
