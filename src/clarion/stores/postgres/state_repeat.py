"""Statements of the state store that callers of the API wait for."""

from typing import Any, TypeVar

import asyncpg

from clarion.domain.errors import DurabilityError, Overloaded
from clarion.stores.postgres.pool import Database, Work
from clarion.stores.postgres.tenancy import Tenants

T = TypeVar("T")


async def rows_of(database: Database, tenants: Tenants, statement: str, *values: Any) -> list[Any]:
    """Return the rows of a read; none when a value holds a character that no stored text can hold. Raises
    `StoreUnavailable`."""
    try:
        return await database.fetch(tenants, statement, *values)
    except asyncpg.CharacterNotInRepertoireError:
        return []


async def repeatable(database: Database, work: Work[T]) -> T:
    """Return the result of a write that changes nothing when it is repeated, as it is when its outcome is unknown. Raises
    `Overloaded` when it cannot be done now."""
    try:
        return await database.run(work)
    except DurabilityError:
        try:
            return await database.run(work)
        except DurabilityError as error:
            raise Overloaded("PostgreSQL did not say whether it has stored this; repeat the request") from error
