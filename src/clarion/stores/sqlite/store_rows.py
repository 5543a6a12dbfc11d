"""The files of an installation, open for a migration to or from another engine (`ports.store_rows`)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import apsw
import msgspec

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import CARRIED_BYTES_MAX, CARRIED_ROWS_MAX
from clarion.ports.store_rows import FACT, SEEDED, Mark, Row, Table, Value, decode_mark
from clarion.stores.sql.profiles import ProfileKey
from clarion.stores.sqlite.connection import connect, fetch_all, fetch_one
from clarion.stores.sqlite.in_use import InUse
from clarion.stores.sqlite.migrate import NAMES, find_difference, path_of, upgrade
from clarion.stores.sqlite.store_tables import Form, forms_of, ordered, quoted

_MARK: Final = "SELECT value FROM facts WHERE name = ?"
_SET_MARK: Final = "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
"""A table that a new file has a row of."""


class SqliteRows:
    """Implements `ports.store_rows.StoreRows` over the files in a folder."""

    engine = "sqlite"

    def __init__(self, data_dir: Path) -> None:
        """Open the files, whose schema is up to date. Raises `OperatorError` while a process has them open."""
        self.place = str(data_dir)
        self._closing = ExitStack()
        try:
            use = InUse(data_dir / "run")
            self._closing.callback(use.close)
            self._closing.enter_context(use.alone("The installation cannot be moved"))
            self._files: dict[str, apsw.Connection] = {}
            for name in NAMES:
                self._files[name] = connect(path_of(data_dir, name))
                self._closing.callback(self._files[name].close)
            self._forms = {form.table.name: form for name in NAMES for form in forms_of(self._files[name], name)}
        except BaseException:
            self._closing.close()
            raise

    @classmethod
    def source(cls, data_dir: Path) -> "SqliteRows":
        """Open the files of an installation. Raises `OperatorError` when there is none, or it has another schema."""
        if not path_of(data_dir, "control").exists():
            raise OperatorError(f"There is no installation in {data_dir}.")
        _check_schema(data_dir)
        return cls(data_dir)

    @classmethod
    def target(cls, data_dir: Path) -> "SqliteRows":
        """Open the files of a folder; those that are missing, or were cut before they had a schema, are made. Raises
        `OperatorError` when one has another schema."""
        if any(path_of(data_dir, name).exists() for name in NAMES[1:]):
            _check_schema(data_dir, made=False)
        for name in NAMES:
            upgrade(data_dir, name)
        return cls(data_dir)

    async def tables(self) -> list[Table]:
        """Return the tables to be carried over."""
        return [form.table for form in self._forms.values()]

    async def is_empty(self) -> bool:
        """Return whether no table has a row, apart from those that a new file has."""
        for form in self._forms.values():
            own = f"({form.select}) {'WHERE number > 1' if form.table.name in SEEDED else ''}"
            if fetch_one(self._files[form.file], f"SELECT 1 FROM {own} LIMIT 1"):  # noqa: S608 - names of the schema
                return False
        return True

    async def count(self, table: Table) -> int:
        """Return the number of rows of a table."""
        form = self._forms[table.name]
        ((number,),) = fetch_all(self._files[form.file], f"SELECT count(*) FROM ({form.select})")  # noqa: S608
        return int(number)

    async def rows(self, table: Table, after: Row | None) -> AsyncIterator[list[Row]]:
        """Return the rows of a table whose keys are above `after`, in their order, in batches."""
        form = self._forms[table.name]
        order, above = (form.order, form.after) if table.key == form.table.key else ordered(table.key)
        where = "" if after is None else f"WHERE {above}"
        statement = f"SELECT {quoted(table.columns)} FROM ({form.select}) {where} ORDER BY {order}"  # noqa: S608
        found = self._files[form.file].execute(statement, after or ())
        batch: list[Row] = []
        size = 0
        while some := list(islice(found, CARRIED_ROWS_MAX // 10)):
            batch += (tuple(map(_storable, row)) for row in some)
            size += sum(len(value) for row in some for value in row if isinstance(value, str | bytes))
            if len(batch) >= CARRIED_ROWS_MAX or size >= CARRIED_BYTES_MAX:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def last_key(self, table: Table) -> Row | None:
        """Return the highest key of a table."""
        form = self._forms[table.name]
        order = ", ".join(f'"{column}" DESC' for column in table.key)
        statement = f"SELECT {quoted(table.key)} FROM ({form.select}) ORDER BY {order} LIMIT 1"  # noqa: S608
        return fetch_one(self._files[form.file], statement)

    async def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Store rows in one transaction."""
        form = self._forms[table.name]
        places = [table.columns.index(column) for column in form.table.columns]
        values = [tuple(row[place] for place in places) for row in rows]
        if table.name == "profiles":
            values = [(*row, _digest(dict(zip(form.table.columns, row, strict=True)))) for row in values]
        db = self._files[form.file]
        with db:
            db.executemany(form.insert, values)

    async def given(self) -> dict[str, int]:
        """Return the highest number that each column has given out by itself."""
        found: dict[str, int] = {}
        for name, form, column in self._numbered():
            db = self._files[form.file]
            ((highest,),) = fetch_all(db, f'SELECT coalesce(max("{column}"), 0) FROM ({form.select})')  # noqa: S608
            row = (
                fetch_one(db, "SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)) if _has_sequences(db) else None
            )
            found[f"{form.table.name}.{column}"] = max(int(highest), int(row[0]) if row else 0)
        return found

    async def finish(self, given: Mapping[str, int]) -> None:
        """Give out no number again; what is derived was derived with each row."""
        for name, form, column in self._numbered():
            db, number = self._files[form.file], given.get(f"{form.table.name}.{column}")
            if number and _has_sequences(db) and _is_kept(db, name):
                with db:
                    db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
                    db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, number))

    async def mark(self) -> Mark | None:
        """Return what the store says of a migration."""
        return mark_in(self._files["control"])

    async def set_mark(self, mark: Mark | None) -> None:
        """Let the store say something else of a migration."""
        db = self._files["control"]
        if mark is None:
            db.execute("DELETE FROM facts WHERE name = ?", (FACT,))
            return
        if mark.role == "target":  # before the mark: a store without these rows is still empty
            for form in self._forms.values():
                if form.table.name in SEEDED:
                    self._files[form.file].execute(f"DELETE FROM {form.table.name}")  # noqa: S608 - constants
        db.execute(_SET_MARK, (FACT, msgspec.json.encode(mark)))

    async def check_seal(self, probe: str) -> bytes | None:
        """Return the value that shows whether a master key is that of the store."""
        row = fetch_one(self._files["control"], _MARK, (probe,))
        return None if row is None else bytes(row[0])

    async def trial(self, rows: Sequence[Row]) -> None:
        """Write rows that nobody keeps."""
        trial(self._files["state"], rows)

    async def close(self) -> None:
        """Let others use the files again."""
        self._closing.close()

    def _numbered(self) -> list[tuple[str, Form, str]]:
        """Return the tables whose key is one number, with the column: SQLite gives it out by itself."""
        return [
            (form.table.name.rpartition(".")[2], form, form.table.key[0])
            for form in self._forms.values()
            if form.is_numbered
        ]


def mark_in(db: apsw.Connection) -> Mark | None:
    """Return what `control.db` says of a migration."""
    row = fetch_one(db, _MARK, (FACT,))
    return decode_mark(None if row is None else bytes(row[0]))


def trial(db: apsw.Connection, rows: Sequence[Row]) -> None:
    """Write rows into a table of the connection's own."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS trial (number INTEGER PRIMARY KEY, row BLOB)")
    with db:
        db.executemany("INSERT INTO trial (row) VALUES (?)", [(msgspec.msgpack.encode(row),) for row in rows])
        db.execute("DELETE FROM trial")


def _check_schema(data_dir: Path, *, made: bool = True) -> None:
    if difference := find_difference(data_dir, made=made):
        raise OperatorError(difference)


def _storable(value: Value) -> Value:
    """Return a value as every engine can store it: without U+0000 in text, as it is shown anyway."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and "\0" in value else value


def _digest(row: Mapping[str, Value]) -> bytes:
    return ProfileKey(*(str(row[name]) for name in ProfileKey._fields)).digest()


def _has_sequences(db: apsw.Connection) -> bool:
    return fetch_one(db, "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'") is not None


def _is_kept(db: apsw.Connection, table: str) -> bool:
    """Return whether SQLite keeps the numbers of a table that were given out."""
    row = fetch_one(db, "SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
    return row is not None and "AUTOINCREMENT" in str(row[0])
