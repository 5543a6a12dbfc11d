"""What a store in SQL needs of its engine: transactions and reads of the statements in its dialect."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, Protocol, TypeVar

from clarion.stores.sql.statement import Many, Query, Statement

T = TypeVar("T")
Row = tuple[Any, ...]
Tenants = str | Collection[str]
"""The tenants whose rows a statement reads and writes."""
NO_TENANT: Final = ()


class Overtaken(Exception):
    """Another transaction stored the same rows first. Work that raises it is run again as a whole."""


class Transaction(Protocol):
    """The statements of one transaction."""

    async def rows(self, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a statement."""
        ...

    async def change(self, statement: Statement, /, **values: Any) -> int:
        """Execute a statement that writes, and return the number of rows it changed."""
        ...

    async def change_many(self, statement: Many, rows: Sequence[Row], /, **values: Any) -> int:
        """Execute a statement over rows, and return the number of rows it changed."""
        ...

    def revise(self, tenant: str) -> None:
        """Give the tenant another revision with this transaction, so that every process drops its cache of the tenant
        (`OPERATOR_LEVEL`: of tenants and keys)."""
        ...


class Engine(Protocol):
    """Runs the transactions and reads of one database."""

    async def run(
        self, tenants: Tenants, work: Callable[[Transaction], Awaitable[T]], /, *, locked: str | None = None
    ) -> T:
        """Return the result of `work` after its transaction is durable; an exception of `work` rolls it back. `work` awaits
        its transaction alone, and may be called several times. `locked` names a tenant whose definitions no other transaction that
        names it changes meanwhile."""
        ...

    async def read(self, tenants: Tenants, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a read."""
        ...


async def define(tx: Transaction, tenant: str, statement: Statement, /, **values: Any) -> int:
    """Execute a statement that writes definitions of a tenant, and return the number of rows it changed."""
    changed = await tx.change(statement, **values)
    if changed:
        tx.revise(tenant)
    return changed


async def first(reading: Awaitable[list[Row]], /) -> Row | None:
    """Return the first row of a read, or None."""
    rows = await reading
    return rows[0] if rows else None
