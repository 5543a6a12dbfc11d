"""Versioned values in a file that may be lost: one statement to read a value, one to compare and swap it.

A version is a counter of the process that stored the value, starting at a random number: it never recurs, not even
after a value was removed and stored again.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

import apsw

from clarion.ports.versioned import Change, Swapped, Versioned
from clarion.stores.sqlite.volatile_file import VolatileFile

N = TypeVar("N", bound=tuple[Any, ...])
V = TypeVar("V")

_START_BYTES = 7


class Statements(NamedTuple):
    """`read` takes a name and returns the version and the value's columns. `insert` takes a name, a version and those
    columns; `update` takes them in this order: columns, version, name, and the version to be replaced."""

    read: str
    insert: str
    update: str


class SqliteVersions(Generic[N, V]):
    """Implements `ports/versioned.py`. Used by one thread at a time. `write` and `make` convert a value to columns and
    back; `make` without arguments returns the default for a value that was never stored."""

    def __init__(
        self,
        file: VolatileFile,
        statements: Statements,
        write: Callable[[V], tuple[Any, ...]],
        make: Callable[..., V],
    ) -> None:
        self._file = file
        self._sql = statements
        self._write = write
        self._make = make
        self._nothing: Versioned[V] = Versioned(make(), 0)
        self._versions: Iterator[int] = count(1 + int.from_bytes(os.urandom(_START_BYTES)))

    async def read(self, names: Sequence[N]) -> list[Versioned[V]]:
        """Return the values and versions of the names."""
        return self._file.read(lambda db: [self._found(db, name) for name in names])

    async def swap(self, groups: Sequence[Sequence[Change[N, V]]]) -> list[Swapped[V]]:
        """Store each group as a whole if all its names are still at the given versions, all in one transaction. Return
        one result per group."""
        return self._file.change(lambda db: [self._swapped(db, group) for group in groups])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _found(self, db: apsw.Connection, name: N) -> Versioned[V]:
        row = db.execute(self._sql.read, name).fetchone()
        return self._nothing if row is None else Versioned(self._make(*row[1:]), row[0])

    def _swapped(self, db: apsw.Connection, group: Sequence[Change[N, V]]) -> Swapped[V]:
        several = len(group) > 1
        if several:
            db.execute("SAVEPOINT swap")
        now: list[Versioned[V]] = []
        for name, before, value in group:
            version = next(self._versions)
            if before:
                db.execute(self._sql.update, (*self._write(value), version, *name, before))
            else:
                db.execute(self._sql.insert, (*name, version, *self._write(value)))
            if not db.changes():
                break
            now.append(Versioned(value, version))
        stored = len(now) == len(group)
        if several:
            db.execute("RELEASE swap" if stored else "ROLLBACK TO swap; RELEASE swap")
        return Swapped(stored, now if stored else [self._found(db, name) for name, _, _ in group])
