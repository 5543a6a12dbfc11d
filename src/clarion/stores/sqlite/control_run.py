"""Runs control-plane statements: built by SQLAlchemy Core, executed by apsw on one thread of its own.

The whole process uses one SQLite library per file. A second one (the driver SQLAlchemy would open) does not see the
first one's locks, because POSIX locks belong to the process: closing a file in either would drop the other's locks.

One thread runs all statements that write, so the event loop never waits for an fsync, and each call is one transaction.
Short reads run where they are called, on a connection of their own: they wait for no write.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement

from clarion.domain.errors import DurabilityError, Overloaded
from clarion.stores.sqlite.connection import Readers, connect

T = TypeVar("T")
Row = tuple[Any, ...]
_DIALECT: Final = sqlite.dialect(paramstyle="qmark")
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


class Transaction:
    """The statements of one transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.revised: dict[str, int] = {}
        """The tenants whose definitions were changed, with the number of the change."""

    def rows(self, statement: Executable) -> list[Row]:
        """Return all rows of a statement."""
        return self.sql(*_compiled(statement))

    def row(self, statement: Executable) -> Row | None:
        """Return the first row of a statement, or None."""
        found = self.rows(statement)
        return found[0] if found else None

    def change(self, statement: Executable) -> int:
        """Execute a statement that writes and return the number of rows it changed."""
        self.rows(statement)
        return self.changed

    @property
    def changed(self) -> int:
        """The number of rows that the last statement changed."""
        return self._db.changes()

    def define(self, tenant: str, statement: Executable) -> int:
        """Like `change`, for definitions: when rows were changed, every process drops its cache of the tenant
        (`OPERATOR_LEVEL`: of tenants and keys)."""
        touched = self.change(statement)
        if touched:
            self.revise(tenant)
        return touched

    def revise(self, tenant: str) -> None:
        """Number a change of a tenant's definitions."""
        self.sql(_COUNT)
        ((self.revised[tenant],),) = self.sql(_REVISE, (tenant,))

    def sql(self, text: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a hand-written statement."""
        return self._db.execute(text, values).fetchall()

    def many(self, text: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute a hand-written statement once for each row of values."""
        self._db.executemany(text, values)


def _compiled(statement: Executable) -> tuple[str, tuple[Any, ...]]:
    assert isinstance(statement, ClauseElement)  # noqa: S101 - every statement in this package is one
    # IN lists are rendered as literals; all other values stay bound.
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    values = compiled.construct_params() or {}
    order: Sequence[str] = compiled.positiontup or ()  # type: ignore[attr-defined]
    return str(compiled), tuple(values[name] for name in order)


class Runner:
    """A thread with a connection, and a connection for each thread that reads. `run` and `read` may be called from any
    event loop of the process."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control")
        self._db = self._thread.submit(connect, path).result()
        self._readers = Readers(path, _READER_CACHE_KIB)
        self.changes = RevisionCounter()

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Return the result of `work` after its transaction is durable; an exception of `work` rolls back the
        transaction.

        Raises `Overloaded` when another process held the file for too long or the disk is full, and `DurabilityError` when the disk failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_now, work)

    def run_now(self, work: Callable[[Transaction], T]) -> T:
        """Do the work of `run` on the calling thread."""
        result, revised = _run_transaction(self._db, "BEGIN IMMEDIATE", work)
        self.changes.add(revised)
        return result

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Return the result of `work`, which reads a page of rows at most, on the calling thread: all of it sees what was
        durable when it began. Raises as `run` does."""
        return _run_transaction(self._readers.of_thread(), "BEGIN", work)[0]

    async def read_apart(self, work: Callable[[Transaction], T]) -> T:
        """Do the work of `read` on the thread that writes, for reads that take long."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.read, work)

    async def close(self) -> None:
        """Finish queued work and close the connections."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()
        self._readers.close()


def _run_transaction(db: apsw.Connection, begin: str, work: Callable[[Transaction], T]) -> tuple[T, dict[str, int]]:
    """Return the result of `work` within a transaction, and the tenants' revisions that it made."""
    try:
        db.execute(begin)
        try:
            transaction = Transaction(db)
            result = work(transaction)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    except apsw.BusyError as error:
        raise Overloaded("the control store is busy") from error
    except apsw.FullError as error:
        raise Overloaded("the control store has no room") from error
    except (apsw.IOError, apsw.CorruptError) as error:
        raise DurabilityError(f"the control store failed: {error}") from error
    return result, transaction.revised
