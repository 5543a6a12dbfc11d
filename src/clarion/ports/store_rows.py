"""The rows of an installation's stores, table by table, as an engine hands them to another one.

A table has the same name and columns on every engine: what an engine stores otherwise it translates, and what it derives from
other rows it derives again. So a new table needs nothing here as long as both engines have it alike. Values are None, `int`,
`str` and `bytes`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from clarion.domain.errors import OperatorError

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Value, ...]

FACT = "store-migration"
"""The name under which a store keeps its mark, beside other facts about itself."""
OWN_FACTS = frozenset({FACT, "operator-key"})
"""Facts that each engine keeps for itself."""
SEEDED = ("revisions", "inbox_epochs")
"""Tables in which a new store has a row, with the number 1. A target gets the source's in its place."""


class Table(NamedTuple):
    """A table that is carried over: its columns, and those of its key, in whose order its rows are read."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


class Mark(msgspec.Struct, frozen=True):
    """What a store says of a migration: `id` is that of the migration, `other` the engine on its other side. A target has no
    mark any more once it is complete; a source keeps it."""

    id: str
    role: Literal["source", "target"]
    other: str
    is_done: bool = False


class StoreRows(Protocol):
    """The stores of one installation that is not running, open for a migration."""

    engine: str
    place: str
    """Where they are, without a password."""

    async def tables(self) -> list[Table]:
        """Return the tables to be carried over."""
        ...

    async def is_empty(self) -> bool:
        """Return whether no table has a row."""
        ...

    async def count(self, table: Table) -> int:
        """Return the number of rows of a table."""
        ...

    def rows(self, table: Table, after: Row | None) -> AsyncIterator[list[Row]]:
        """Return the rows of a table whose keys are above `after`, in the order of their keys, in batches."""
        ...

    async def last_key(self, table: Table) -> Row | None:
        """Return the highest key of a table."""
        ...

    async def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Store rows in one transaction. Rows that are there already are left as they are."""
        ...

    async def given(self) -> dict[str, int]:
        """Return the highest number that each column has given out by itself, as `table.column`. It is not given again."""
        ...

    async def finish(self, given: Mapping[str, int]) -> None:
        """Derive what is not carried over, and give out no number again. A second call does no harm."""
        ...

    async def mark(self) -> Mark | None:
        """Return what the store says of a migration."""
        ...

    async def set_mark(self, mark: Mark | None) -> None:
        """Let the store say something else of a migration. One that becomes a target loses the rows that a new store has."""
        ...

    async def check_seal(self, probe: str) -> bytes | None:
        """Return the value that shows whether a master key is that of the store, None before one was used."""
        ...

    async def trial(self, rows: Sequence[Row]) -> None:
        """Write rows that nobody keeps, to find out how long it takes."""
        ...

    async def close(self) -> None:
        """Let others use the stores again."""
        ...


def refusal(engine: str, mark: Mark | None) -> str | None:
    """Return in one sentence why a store cannot be used by processes, None when nothing is against it."""
    if mark is None:
        return None
    if mark.role == "target":
        return (
            f"The store ({engine}) holds part of an installation: its migration from {mark.other} has not ended. Run 'clarion"
            f" migrate-store --from {mark.other} --to {engine}' again."
        )
    if mark.is_done:
        return (
            f'The installation was moved from {engine} to {mark.other}: set store = "{mark.other}", or move it back into an'
            " empty store."
        )
    return (
        f"The installation is being moved from {engine} to {mark.other}: run 'clarion migrate-store --from {engine} --to"
        f" {mark.other}' again, or with --cancel to stay."
    )


def decode_mark(value: bytes | None) -> Mark | None:
    """Return a mark as it is stored."""
    return None if value is None else msgspec.json.decode(value, type=Mark)


def check_unmoved(engine: str, value: bytes | None) -> None:
    """Raise `OperatorError` when a store with this mark cannot be used by processes."""
    if sentence := refusal(engine, decode_mark(value)):
        raise OperatorError(sentence)
