"""Statements built by SQLAlchemy Core, as text and values of a dialect."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Insert,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import Boolean, TypeEngine

Compiled = tuple[str, tuple[str, ...], dict[str, Any]]
"""The text, the names of its places in their order, and the values that are part of the statement."""
_TYPES: Final[dict[str, type[TypeEngine[Any]]]] = {"": Text, "i": BigInteger, "b": LargeBinary, "t": Boolean}


def typed(columns: str) -> list[tuple[str, type[TypeEngine[Any]]]]:
    """Return names with their types: `:i` for integers, `:b` for bytes, `:t` for truth values, everything else text."""
    parts = (column.partition(":") for column in columns.split())
    return [(name, _TYPES[kind]) for name, _, kind in parts]


class Statement:
    """A statement of constant shape, whose values are bound by name. It is compiled once for each dialect: compiling takes
    longer than a short read. `large` ones return many rows or large ones. `postgresql` is what stands for it there, where one
    text does not serve both."""

    def __init__(self, clause: ClauseElement, *, postgresql: ClauseElement | None = None, large: bool = False) -> None:
        self.large = large
        self._clauses = {"postgresql": clause if postgresql is None else postgresql, "sqlite": clause}
        self._compiled: dict[str, Compiled] = {}

    def bound(self, dialect: Dialect, values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return the text and the values in the order of its places."""
        known = self._compiled.get(dialect.name)
        if known is None:
            known = self._compiled[dialect.name] = _compiled(self._clauses[dialect.name], dialect)
        text, names, constants = known
        return text, tuple(_value(constants[name] if name in constants else values[name], dialect) for name in names)


class Query:
    """A read whose shape depends on its values, such as which filters are given. It is compiled at each use."""

    def __init__(self, clause: ClauseElement, *, large: bool = False) -> None:
        self.large = large
        self._clause = clause

    def bound(self, dialect: Dialect, _values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return the text and the values in the order of its places."""
        compiled: Any = self._clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        values = compiled.construct_params()
        return str(compiled), tuple(values[name] for name in compiled.positiontup or ())


class Given:
    """The columns of rows that a statement is given, by name. PostgreSQL has all rows in one statement, from `unnest`; SQLite,
    where a statement costs no round trip, executes it for one row after another."""

    def __init__(self, columns: str, *, at_once: bool) -> None:
        self.at_once = at_once
        self._columns: Any
        if at_once:
            arrays = [cast(bindparam(name), postgresql.ARRAY(kind)) for name, kind in typed(columns)]
            names = [name for name, _ in typed(columns)]
            rows = func.unnest(*arrays).table_valued(*names, with_ordinality="nth", name="given")
            self._columns = rows.render_derived(name="given").c
        else:
            self._columns = {name: bindparam(name, type_=kind()) for name, kind in typed(columns)}

    def __getitem__(self, name: str) -> Any:
        """Return a column."""
        return self._columns[name]

    def insert(self, table: Table, values: dict[str, Any]) -> postgresql.Insert:
        """Return the insertion of a row for each row, in their order."""
        into = postgresql.insert(table)
        if self.at_once:
            return into.from_select(list(values), select(*values.values()).order_by(self._columns["nth"]))
        return into.values(values)


class Many:
    """A statement that writes, over rows of these columns, with values that are the same for all of them."""

    def __init__(self, columns: str, build: Callable[[Given], ClauseElement]) -> None:
        self._names = [name for name, _ in typed(columns)]
        self._clauses = {
            "postgresql": build(Given(columns, at_once=True)),
            "sqlite": build(Given(columns, at_once=False)),
        }
        self._compiled: dict[str, Compiled] = {}
        self._picks: dict[tuple[str, ...], itemgetter[Any]] = {}

    def at_once(self, dialect: Dialect, rows: Sequence[Sequence[Any]], values: dict[str, Any]) -> tuple[str, list[Any]]:
        """Return the text and the values of one statement for all rows, of which there is at least one."""
        text, names, constants = self._of(dialect)
        columns = dict(zip(self._names, map(list, zip(*rows, strict=True)), strict=True))
        given = constants | values | columns
        return text, [given[name] for name in names]

    def one_by_one(
        self, dialect: Dialect, rows: Sequence[Sequence[Any]], values: dict[str, Any]
    ) -> tuple[str, list[tuple[Any, ...]]]:
        """Return the text and the values of the statement of each row."""
        text, names, constants = self._of(dialect)
        same = constants | values
        fixed = tuple(same.values())
        pick = self._picks.get(tuple(same))
        if pick is None:
            places = self._names + list(same)
            pick = self._picks[tuple(same)] = itemgetter(*(places.index(name) for name in names))
        return text, [pick((*row, *fixed)) for row in rows]

    def _of(self, dialect: Dialect) -> Compiled:
        known = self._compiled.get(dialect.name)
        if known is None:
            known = self._compiled[dialect.name] = _compiled(self._clauses[dialect.name], dialect)
        return known


class Among(ColumnElement[bool]):
    """The condition that a column has one of the values of a list, which is bound by name as a whole."""

    inherit_cache = False

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.column = column
        self.values = bindparam(name, type_=Text())

    @property
    def _from_objects(self) -> Any:
        return self.column._from_objects


@compiles(Among, "postgresql")
def _any(among: Among, compiler: SQLCompiler, **options: Any) -> str:
    place = cast(among.values, postgresql.ARRAY(type(among.column.type)))
    return f"{compiler.process(among.column, **options)} = ANY ({compiler.process(place, **options)})"


@compiles(Among, "sqlite")
def _each(among: Among, compiler: SQLCompiler, **options: Any) -> str:
    value = "unhex(value)" if isinstance(among.column.type, LargeBinary) else "value"
    place = compiler.process(among.values, **options)
    return f"{compiler.process(among.column, **options)} IN (SELECT {value} FROM json_each({place}))"  # noqa: S608 - compiled parts


def page_after(rows: Select[Any], key: Column[Any]) -> Select[Any]:
    """Return a page of a tenant's rows in the order of a key: at most `limit` after the key `after`."""
    of_tenant = key.table.c.tenant == bindparam("tenant")
    return rows.where(of_tenant, key > bindparam("after")).order_by(key).limit(bindparam("limit", type_=Integer))


def upsert(table: Table, keys: str, replaced: dict[str, Any], **values: Any) -> Insert:
    """Return the insertion of a row with values bound by the names of its columns, except those given here; a row with the
    same keys has columns replaced."""
    names: dict[str, Any] = {column.name: bindparam(column.name) for column in table.columns}
    row = postgresql.insert(table).values(names | values)
    return row.on_conflict_do_update(index_elements=keys.split(), set_=replaced)


def _compiled(clause: ClauseElement, dialect: Dialect) -> Compiled:
    compiled: Any = clause.compile(dialect=dialect)
    constants = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
    return str(compiled), tuple(compiled.positiontup or ()), constants


def _value(value: Any, dialect: Dialect) -> Any:
    """Return a value as the driver takes it: SQLite has lists as JSON."""
    if not isinstance(value, list) or dialect.name == "postgresql":
        return value
    return msgspec.json.encode([one.hex() if isinstance(one, bytes) else one for one in value]).decode()
