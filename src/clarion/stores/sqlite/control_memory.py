"""The control store of one process, in a database in memory: for tests, and for installations that end with the process.

There is one connection, used on the thread of the event loop. Nothing waits, so each call is atomic there.
"""

from functools import cache
from typing import Any, TypeVar

import apsw

from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.sql.control import SqlControl
from clarion.stores.sql.engine import Row, Tenants
from clarion.stores.sql.statement import Query, Statement
from clarion.stores.sqlite.audience_count import MemoryAudiences
from clarion.stores.sqlite.control_engine import DIALECT, RevisionCounter, Work, in_transaction
from clarion.stores.sqlite.directory import SqliteDirectory
from clarion.stores.sqlite.migrate import create_in_memory

T = TypeVar("T")


class MemoryControl(SqlControl):
    """All repositories over a new database, and the directory over them. For one event loop."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._db = _opened()
        engine = _Engine(self._db)
        super().__init__(engine, MemoryAudiences(self._db, clock), vault, clock)
        self.directory = MemoryDirectory(self._db, vault, clock, engine.changes)
        """What planning and delivery read of this store. It is closed with the store."""

    async def close(self) -> None:
        """Close the database, which is gone then."""
        self._db.close()


class MemoryDirectory(SqliteDirectory):
    """Always current: no other process defines anything."""

    def is_current(self) -> bool:
        """Return True."""
        return True

    async def refresh(self) -> None:
        """Do nothing."""

    def was_asked(self) -> bool:
        """Return False: there is nothing to refresh."""
        return False

    def close(self) -> None:
        """Do nothing: the connection is the control store's."""

    def _commit_counter(self) -> int:
        # SQLite counts the commits of other connections alone.
        return self._changes.count


class _Engine:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.changes = RevisionCounter()

    async def run(self, _tenants: Tenants, work: Work[T], /, *, locked: str | None = None) -> T:
        result, revised = in_transaction(self._db, "BEGIN", work)
        self.changes.add(revised)
        return result

    async def read(self, _tenants: Tenants, statement: Statement | Query, /, **values: Any) -> list[Row]:
        return self._db.execute(*statement.bound(DIALECT, values)).fetchall()


def _opened() -> apsw.Connection:
    """Return a connection to an empty database with the schema. It is a copy: a database made of bytes cannot grow freely."""
    db, made = apsw.Connection(":memory:", statementcachesize=200), apsw.Connection(":memory:")
    made.deserialize("main", _image())
    with db.backup("main", made, "main") as copying:
        copying.step()
    made.close()
    return db


@cache
def _image() -> bytes:
    """Migrate once for all stores of this process: that takes longer than most tests."""
    return create_in_memory("control")
