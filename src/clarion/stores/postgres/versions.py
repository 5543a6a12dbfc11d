"""Versioned values on PostgreSQL: one statement reads any number of values, one transaction swaps any number of groups.

A version is a number of a sequence of the database, so it never recurs, not even after a value was removed and stored
again. Groups are swapped in the order of their names: two transactions over the same names do not wait for each other.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import asyncpg

from clarion.domain.errors import Overloaded, StoreUnavailable
from clarion.ports.versioned import Change, Swapped, Versioned
from clarion.stores.postgres.pool import Database, columns

N = TypeVar("N", bound=tuple[Any, ...])
V = TypeVar("V")


class Statements(NamedTuple):
    """`read` takes a list for each part of a name and returns a number (from 1), the version and the value's columns for
    each name that is stored. `lock` takes the same, locks these rows and returns number and version. `insert` and `update`
    take a list for each part of a name and for each of the value's columns; they return a number and the new version for
    each row that they stored, `insert` only for names that were not stored before."""

    read: str
    lock: str
    insert: str
    update: str


class PostgresVersions(Generic[N, V]):
    """Implements `ports/versioned.py`. A name begins with its tenant. `write` and `make` convert a value to columns and back; `make` without arguments
    returns the default for a value that was never stored. Who opened the database closes it."""

    def __init__(
        self,
        database: Database,
        statements: Statements,
        sizes: tuple[int, int],
        write: Callable[[V], tuple[Any, ...]],
        make: Callable[..., V],
    ) -> None:
        """`sizes` are the numbers of parts of a name and of columns of a value."""
        self.database = database
        self._sql = statements
        self._parts, self._width = sizes
        self._write = write
        self._make = make
        self._nothing: Versioned[V] = Versioned(make(), 0)

    async def read(self, names: Sequence[N]) -> list[Versioned[V]]:
        """Return the values and versions of the names. Raises `Overloaded` when they cannot be read now."""
        if not names:
            return []
        try:
            rows = await self.database.fetch({name[0] for name in names}, self._sql.read, *columns(names, self._parts))
        except StoreUnavailable as error:
            raise Overloaded(str(error)) from error
        return self._placed(rows, len(names))

    async def swap(self, groups: Sequence[Sequence[Change[N, V]]]) -> list[Swapped[V]]:
        """Store each group as a whole if all its names are still at the given versions, all in one transaction. Return
        one result per group."""
        if not any(groups):
            return [Swapped(stored=True, now=[]) for _ in groups]
        tenants = {change.name[0] for group in groups for change in group}
        return await self.database.transact(tenants, lambda db: self._swap(db, groups))

    def close(self) -> None:
        """Do nothing: connections belong to the database."""

    async def _swap(self, db: Any, groups: Sequence[Sequence[Change[N, V]]]) -> list[Swapped[V]]:
        changes = sorted((change for group in groups for change in group), key=lambda change: change.name)
        locked = await db.fetch(self._sql.lock, *columns([change.name for change in changes], self._parts))
        versions = {changes[number - 1].name: version for number, version in locked}
        fits = [all(versions.get(name, 0) == before for name, before, _ in group) for group in groups]
        fitting = {change.name for group, fit in zip(groups, fits, strict=True) if fit for change in group}
        stored: dict[N, int] = {}
        for text, is_new in ((self._sql.insert, True), (self._sql.update, False)):
            some = [one for one in changes if one.name in fitting and (one.version == 0) is is_new]
            if some:
                rows = [(*name, *self._write(value)) for name, _, value in some]
                found = await db.fetch(text, *columns(rows, self._parts + self._width))
                if len(found) < len(some):  # another transaction was first; run again, this one finds its values
                    raise asyncpg.SerializationError("another transaction stored the same value first")
                stored |= {some[number - 1].name: version for number, version in found}
        stale = [change.name for group, fit in zip(groups, fits, strict=True) if not fit for change in group]
        now = dict(zip(stale, await self._stale(db, stale), strict=True))
        return [
            Swapped(stored=True, now=[Versioned(value, stored[name]) for name, _, value in group])
            if fit
            else Swapped(stored=False, now=[now[name] for name, _, _ in group])
            for group, fit in zip(groups, fits, strict=True)
        ]

    async def _stale(self, db: Any, names: list[N]) -> list[Versioned[V]]:
        return self._placed(await db.fetch(self._sql.read, *columns(names, self._parts)), len(names)) if names else []

    def _placed(self, rows: Sequence[Any], number: int) -> list[Versioned[V]]:
        found = [self._nothing] * number
        for place, version, *values in rows:
            found[place - 1] = Versioned(self._make(*values), version)
        return found
