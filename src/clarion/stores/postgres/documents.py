"""Documents and people on PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from sqlalchemy.dialects.postgresql.base import PGDialect

from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.sql.documents import SqlDocuments
from clarion.stores.sql.engine import Query, Row, Statement
from clarion.stores.sql.engine import Transaction as SqlTransaction
from clarion.stores.sql.people import SqlPeople

T = TypeVar("T")
_DIALECT: Final = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def postgres_documents(runner: Runner) -> SqlDocuments:
    """Return the documents of a database."""
    return SqlDocuments(_Engine(runner))


def postgres_people(runner: Runner) -> SqlPeople:
    """Return the people of the same database."""
    return SqlPeople(_Engine(runner))


class _Engine:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def run(self, tenant: str, work: Callable[[SqlTransaction], Awaitable[T]], /) -> T:
        return await self._runner.run(tenant, lambda tx: work(_Transaction(tx)), locked=tenant)

    async def read(self, tenant: str, statement: Statement | Query, /, **values: Any) -> list[Row]:
        text, given = statement.bound(_DIALECT, values)
        return await self._runner.rows(tenant, text, *given)


class _Transaction:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def rows(self, statement: Statement | Query, /, **values: Any) -> list[Row]:
        text, given = statement.bound(_DIALECT, values)
        return await self._tx.rows(text, *given)

    async def change(self, statement: Statement, /, **values: Any) -> int:
        text, given = statement.bound(_DIALECT, values)
        return await self._tx.change(text, *given)

    def revise(self, tenant: str) -> None:
        self._tx.revises(tenant)
