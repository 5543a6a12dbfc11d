"""Runs statements of the control store with apsw: those that write on one thread of their own.

The whole process uses one SQLite library per file. A second one (the driver SQLAlchemy would open) does not see the
first one's locks, because POSIX locks belong to the process: closing a file in either would drop the other's locks.

One thread runs all statements that write, so the event loop never waits for an fsync, and each call is one transaction.
Short reads run where they are called, on a connection of their own: they wait for no write.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import apsw
from sqlalchemy.dialects import sqlite

from clarion.domain.errors import DurabilityError, Overloaded
from clarion.stores.sql.engine import Row, Tenants, Transaction
from clarion.stores.sql.statement import Many, Query, Statement
from clarion.stores.sqlite.connection import ReadConnections, connect

T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[T]]
DIALECT: Final = sqlite.dialect(paramstyle="qmark")
_READER_CACHE_KIB: Final = 8_192
_COUNT: Final = "UPDATE revisions SET number = number + 1"
_REVISE: Final = """
INSERT INTO tenant_revisions SELECT ?, number FROM revisions WHERE true
ON CONFLICT DO UPDATE SET number = excluded.number RETURNING number
"""


class RevisionCounter:
    """The durable changes of definitions by one process: the number of transactions with changes, and the number of
    each tenant's last change. Written by one thread, read by any."""

    def __init__(self) -> None:
        self.count = 0
        self.revisions: dict[str, int] = {}

    def add(self, revised: Mapping[str, int]) -> None:
        """Count a transaction if it changed definitions."""
        if revised:
            self.count += 1  # first: a reader that sees a new revision then looks for the changes
            self.revisions.update(revised)


class SqliteTransaction:
    """Implements `stores.sql.engine.Transaction`. Nothing here waits, so a coroutine over it ends with its first step."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.revised: dict[str, int] = {}
        """The tenants whose definitions were changed, with the number of the change."""

    async def rows(self, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a statement."""
        return self._db.execute(*statement.bound(DIALECT, values)).fetchall()

    async def change(self, statement: Statement, /, **values: Any) -> int:
        """Execute a statement that writes, and return the number of rows it changed."""
        self._db.execute(*statement.bound(DIALECT, values)).fetchall()
        return self._db.changes()

    async def change_many(self, statement: Many, rows: Sequence[Row], /, **values: Any) -> int:
        """Execute a statement for each row, and return the number of rows changed."""
        before = self._db.total_changes()
        self._db.executemany(*statement.one_by_one(DIALECT, rows, values))
        return self._db.total_changes() - before

    def revise(self, tenant: str) -> None:
        """Number a change of a tenant's definitions."""
        self._db.execute(_COUNT)
        self.revised[tenant] = int(self._db.execute(_REVISE, (tenant,)).get)


class SqliteEngine:
    """Implements `stores.sql.engine.Engine`: a thread with a connection that writes, and a connection for each thread that
    reads. May be used from any event loop of the process."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control")
        self._db = self._thread.submit(connect, path).result()
        self._readers = ReadConnections(path, _READER_CACHE_KIB)
        self.changes = RevisionCounter()

    async def run(self, _tenants: Tenants, work: Work[T], /, *, locked: str | None = None) -> T:
        """Return the result of `work` after its transaction is durable.

        Raises `Overloaded` when another process held the file for too long or the disk is full, and `DurabilityError` when the disk failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_now, work)

    def run_now(self, work: Work[T]) -> T:
        """Do the work of `run` on the calling thread."""
        result, revised = in_transaction(self._db, "BEGIN IMMEDIATE", work)
        self.changes.add(revised)
        return result

    async def read(self, _tenants: Tenants, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a read: of a short one, on the calling thread. Raises as `run` does."""
        call = statement.bound(DIALECT, values)
        if statement.large:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, call)
        return self._read(call)

    def _read(self, call: tuple[str, tuple[Any, ...]]) -> list[Row]:
        with _translated():
            return self._readers.of_thread().execute(*call).fetchall()

    async def close(self) -> None:
        """Finish queued work and close the connections."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()
        self._readers.close()


def in_transaction(db: apsw.Connection, begin: str, work: Work[T]) -> tuple[T, dict[str, int]]:
    """Return the result of `work` within a transaction, and the tenants' revisions that it made."""
    with _translated():
        db.execute(begin)
        try:
            transaction = SqliteTransaction(db)
            result = _finished(work(transaction))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return result, transaction.revised


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of the file as those of the one tree."""
    try:
        yield
    except apsw.BusyError as error:
        raise Overloaded("the control store is busy") from error
    except apsw.FullError as error:
        raise Overloaded("the control store has no room") from error
    except (apsw.IOError, apsw.CorruptError) as error:
        raise DurabilityError(f"the control store failed: {error}") from error


def _finished(work: Awaitable[T]) -> T:
    coroutine = cast("Coroutine[Any, Any, T]", work)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    coroutine.close()
    raise AssertionError("a transaction of a file waits for nothing")
