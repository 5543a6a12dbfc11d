"""What a store in SQL needs of its engine: transactions, reads, and the text of statements in its dialect."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Dialect
from sqlalchemy.sql.elements import ClauseElement

T = TypeVar("T")
Row = tuple[Any, ...]


class Statement:
    """A statement of constant shape, whose values are bound by name. It is compiled once for each dialect: compiling takes
    longer than a short read. `large` ones return many rows or large ones. `postgresql` is what stands for it there, where one
    text does not serve both."""

    def __init__(self, clause: ClauseElement, *, postgresql: ClauseElement | None = None, large: bool = False) -> None:
        self.large = large
        self._clauses = {"postgresql": clause if postgresql is None else postgresql, "sqlite": clause}
        self._compiled: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {}

    def bound(self, dialect: Dialect, values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return the text and the values in the order of its places."""
        known = self._compiled.get(dialect.name)
        if known is None:
            compiled: Any = self._clauses[dialect.name].compile(dialect=dialect)
            known = self._compiled[dialect.name] = str(compiled), tuple(compiled.positiontup), compiled.params
        text, names, constants = known
        given = constants | values
        return text, tuple(given[name] for name in names)


class Query:
    """A read whose shape depends on its values, such as the length of a list. It is compiled at each use."""

    def __init__(self, clause: ClauseElement, *, large: bool = False) -> None:
        self.large = large
        self._clause = clause

    def bound(self, dialect: Dialect, _values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return the text and the values in the order of its places."""
        compiled: Any = self._clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        values = compiled.construct_params()
        return str(compiled), tuple(values[name] for name in compiled.positiontup or ())


class Transaction(Protocol):
    """The statements of one transaction, which holds a tenant's definitions for itself."""

    async def rows(self, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a statement."""
        ...

    async def change(self, statement: Statement, /, **values: Any) -> int:
        """Execute a statement that writes, and return the number of rows it changed."""
        ...

    def revise(self, tenant: str) -> None:
        """Give the tenant another revision with this transaction, so that every process drops its cache of the tenant."""
        ...


class Engine(Protocol):
    """Runs the transactions and reads of one database."""

    async def run(self, tenant: str, work: Callable[[Transaction], Awaitable[T]], /) -> T:
        """Return the result of `work` after its transaction is durable; an exception of `work` rolls it back. `work` awaits
        its transaction alone, and may be called several times."""
        ...

    async def read(self, tenant: str, statement: Statement | Query, /, **values: Any) -> list[Row]:
        """Return the rows of a read of one tenant."""
        ...
