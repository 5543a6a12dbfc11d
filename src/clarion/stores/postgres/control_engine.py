"""Runs statements of the control store with asyncpg, and counts the changes of definitions in the order of their commits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy.dialects.postgresql.base import PGDialect

from clarion.domain.errors import InvalidField
from clarion.stores.postgres import tenancy
from clarion.stores.postgres.pool import Database
from clarion.stores.sql.engine import NO_TENANT, Overtaken, Row, Tenants, Transaction
from clarion.stores.sql.statement import Many, Query, Statement

T = TypeVar("T")
_DIALECT: Final = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

# The row of `revisions` is locked until the commit: numbers become visible in their order, so that a reader who saw one has
# missed no lower one.
_REVISE: Final = """
WITH counted AS (
    INSERT INTO revisions VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET number = revisions.number + 1 RETURNING number
)
INSERT INTO tenant_revisions SELECT tenant, number FROM unnest($1::text[]) AS changed (tenant), counted ORDER BY tenant
ON CONFLICT (tenant) DO UPDATE SET number = excluded.number RETURNING tenant, number
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock($1, hashtext($2))"
_DEFINING: Final = 0x636F6E74
"""The first key of the advisory locks of tenants whose definitions change."""


class RevisionCounter:
    """The number of each tenant's last durable change of definitions by this process."""

    def __init__(self) -> None:
        self.revisions: dict[str, int] = {}

    def add(self, revised: Mapping[str, int]) -> None:
        """Count a transaction; of two that end at about the same time, the later number stays."""
        for tenant, number in revised.items():
            self.revisions[tenant] = max(number, self.revisions.get(tenant, 0))


class PostgresTransaction:
    """Implements `stores.sql.engine.Transaction`."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._revised: set[str] = set()

    async def rows(self, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a statement."""
        text, given = statement.bound(_DIALECT, values)
        return list(await self._db.fetch(text, *given))

    async def change(self, statement: Statement, /, **values: Any) -> int:
        """Execute a statement that writes, and return the number of rows it changed."""
        text, given = statement.bound(_DIALECT, values)
        return _count(await self._db.execute(text, *given))

    async def change_many(self, statement: Many, rows: Sequence[Row], /, **values: Any) -> int:
        """Execute a statement over rows, and return the number of rows it changed."""
        if not rows:
            return 0
        text, given = statement.at_once(_DIALECT, rows, values)
        return _count(await self._db.execute(text, *given))

    def revise(self, tenant: str) -> None:
        """Note that a tenant's definitions change with this transaction."""
        self._revised.add(tenant)

    async def end(self) -> dict[str, int]:
        """Number the changes of definitions, as the last statement of the transaction, and return the numbers."""
        return dict(await self._db.fetch(_REVISE, sorted(self._revised))) if self._revised else {}


class PostgresEngine:
    """Implements `stores.sql.engine.Engine` over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = RevisionCounter()

    async def run(
        self, tenants: Tenants, work: Callable[[Transaction], Awaitable[T]], /, *, locked: str | None = None
    ) -> T:
        """Return the result of `work` after its transaction is durable. Raises what `Database.transact` raises, and
        `InvalidField` for text that PostgreSQL cannot hold."""

        async def attempt(db: Any) -> tuple[T, dict[str, int]]:
            transaction = PostgresTransaction(db)
            if locked is not None:
                await db.execute(_LOCK, _DEFINING, locked)
            try:
                result = await work(transaction)
            except Overtaken as error:
                raise asyncpg.SerializationError(str(error)) from None
            return result, await transaction.end()

        try:
            result, revised = await self._database.transact(_given(tenants), attempt)
        except asyncpg.CharacterNotInRepertoireError:
            raise _unstorable() from None
        self.changes.add(revised)
        return result

    async def read(self, tenants: Tenants, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a read. Raises `StoreUnavailable`, and `InvalidField` as `run` does."""
        text, given = statement.bound(_DIALECT, values)
        try:
            return await self._database.fetch(_given(tenants), text, *given)
        except asyncpg.CharacterNotInRepertoireError:
            raise _unstorable() from None


def is_storable(text: object) -> bool:
    """Return whether a value is not a text that PostgreSQL cannot hold, so that nothing has this name."""
    return not (isinstance(text, str) and "\0" in text)


def _given(tenants: Tenants) -> tenancy.Tenants:
    return tenancy.NO_TENANT if tenants == NO_TENANT else tenants


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _unstorable() -> InvalidField:
    return InvalidField("a text contains U+0000, which cannot be stored")
