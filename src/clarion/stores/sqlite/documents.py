"""Documents and people in `control.db`."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from sqlalchemy.dialects import sqlite

from clarion.stores.sql.documents import SqlDocuments
from clarion.stores.sql.engine import Query, Row, Statement
from clarion.stores.sql.engine import Transaction as SqlTransaction
from clarion.stores.sql.people import SqlPeople
from clarion.stores.sqlite.control_run import Runner, Transaction

T = TypeVar("T")
_DIALECT: Final = sqlite.dialect(paramstyle="qmark")


def sqlite_documents(runner: Runner) -> SqlDocuments:
    """Return the documents of a file."""
    return SqlDocuments(_Engine(runner))


def sqlite_people(runner: Runner) -> SqlPeople:
    """Return the people of the same file."""
    return SqlPeople(_Engine(runner))


class _Engine:
    """Runs on the runner's thread. Nothing there waits, so a coroutine ends with its first step."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def run(self, _tenant: str, work: Callable[[SqlTransaction], Awaitable[T]], /) -> T:
        return await self._runner.run(lambda tx: _finished(work(_Transaction(tx))))

    async def read(self, _tenant: str, statement: Statement | Query, /, **values: Any) -> list[Row]:
        text, given = statement.bound(_DIALECT, values)
        if statement.large:
            return await self._runner.read_apart(lambda tx: tx.sql(text, given))
        return self._runner.read(lambda tx: tx.sql(text, given))


class _Transaction:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def rows(self, statement: Statement | Query, /, **values: Any) -> list[Row]:
        return self._tx.sql(*statement.bound(_DIALECT, values))

    async def change(self, statement: Statement, /, **values: Any) -> int:
        self._tx.sql(*statement.bound(_DIALECT, values))
        return self._tx.changed

    def revise(self, tenant: str) -> None:
        self._tx.revise(tenant)


def _finished(work: Awaitable[T]) -> T:
    coroutine = cast("Coroutine[Any, Any, T]", work)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    coroutine.close()
    raise AssertionError("a transaction of a file waits for nothing")
