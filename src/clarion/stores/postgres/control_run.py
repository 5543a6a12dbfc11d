"""Runs control-plane statements, and counts the changes of definitions in the order of their commits."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import asyncpg

from clarion.domain.errors import InvalidField
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import Tenants

T = TypeVar("T")

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


class Transaction:
    """The statements of one transaction."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._revised: set[str] = set()

    async def rows(self, text: str, *values: Any) -> list[Any]:
        """Return all rows of a statement."""
        return list(await self._db.fetch(text, *values))

    async def row(self, text: str, *values: Any) -> Any:
        """Return the first row of a statement, or None."""
        return await self._db.fetchrow(text, *values)

    async def value(self, text: str, *values: Any) -> Any:
        """Return the first column of the first row of a statement, or None."""
        return await self._db.fetchval(text, *values)

    async def change(self, text: str, *values: Any) -> int:
        """Execute a statement that writes and return the number of rows it changed."""
        status: str = await self._db.execute(text, *values)
        return int(status.rpartition(" ")[2])

    async def define(self, tenant: str, text: str, *values: Any) -> int:
        """Like `change`, for definitions: when rows were changed, every process drops its cache of the tenant
        (`OPERATOR_LEVEL`: of tenants and keys)."""
        touched = await self.change(text, *values)
        if touched:
            self.revises(tenant)
        return touched

    def revises(self, tenant: str) -> None:
        """Note that a tenant's definitions change with this transaction."""
        self._revised.add(tenant)

    async def lock(self, tenant: str) -> None:
        """Wait until no other transaction that called this changes the tenant's definitions."""
        await self._db.execute(_LOCK, _DEFINING, tenant)

    async def revise(self) -> dict[str, int]:
        """Number the changes of definitions, as the last statement of the transaction, and return the numbers."""
        if not self._revised:
            return {}
        return dict(await self._db.fetch(_REVISE, sorted(self._revised)))


class Runner:
    """Runs transactions on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = RevisionCounter()

    async def run(
        self, tenants: Tenants, work: Callable[[Transaction], Awaitable[T]], *, locked: str | None = None
    ) -> T:
        """Return the result of `work` on rows of some tenants after its transaction is durable; an exception of `work` rolls
        the transaction back. `work` may be called several times. `locked` names a tenant whose definitions no other process may change
        meanwhile.

        Raises what `Database.transact` raises, and `InvalidField` for text that PostgreSQL cannot hold.
        """

        async def attempt(db: Any) -> tuple[T, dict[str, int]]:
            transaction = Transaction(db)
            if locked is not None:
                await transaction.lock(locked)
            result = await work(transaction)
            return result, await transaction.revise()

        try:
            result, revised = await self._database.transact(tenants, attempt)
        except asyncpg.CharacterNotInRepertoireError:
            raise _unstorable() from None
        self.changes.add(revised)
        return result

    async def rows(self, tenants: Tenants, text: str, *values: Any) -> list[Any]:
        """Return all rows of a read. Raises `StoreUnavailable`, and `InvalidField` as `run` does."""
        try:
            return await self._database.fetch(tenants, text, *values)
        except asyncpg.CharacterNotInRepertoireError:
            raise _unstorable() from None

    async def row(self, tenants: Tenants, text: str, *values: Any) -> Any:
        """Return the first row of a read, or None."""
        found = await self.rows(tenants, text, *values)
        return found[0] if found else None


def is_storable(text: object) -> bool:
    """Return whether a value is not a text that PostgreSQL cannot hold, so that nothing has this name."""
    return not (isinstance(text, str) and "\0" in text)


def _unstorable() -> InvalidField:
    return InvalidField("a text contains U+0000, which cannot be stored")
