"""Rows of the product's stores, read after it has stopped, with other drivers than its own: `sqlite3`, and `psql`."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

Rows = Callable[[str], Iterator[tuple[Any, ...]]]
"""Yields the rows of a query in the SQL that both engines understand. The columns have different names."""
READ_TIMEOUT_S: Final = 120.0
_BYTES: Final = frozenset(
    {"chunk_id", "user_ids", "addresses", "states", "intents", "id", "delivery_id", "instance_id", "key"}
)
"""Columns of bytes, which JSON does not tell from text."""


class Stores(NamedTuple):
    """The rows of the state store and of the journal."""

    state: Rows
    journal: Rows


def of_file(path: Path) -> Rows:
    """Return the rows of an SQLite file. Reading raises `ValueError` when the file is damaged."""

    def rows(query: str) -> Iterator[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            check = db.execute("PRAGMA quick_check").fetchone()[0]
            if check != "ok":
                raise ValueError(f"{path.name} is damaged: {check}")
            yield from db.execute(query)

    return rows


def of_server(psql: Path, dsn: str, schema: str) -> Rows:
    """Return the rows of tables in a schema of a PostgreSQL database. Reading raises `ValueError` with what the server
    says when a page is damaged or a statement fails."""

    def rows(query: str) -> Iterator[tuple[Any, ...]]:
        statement = f"SET search_path = {schema}; SELECT to_json(q) FROM ({query}) q"  # noqa: S608 - queries of this package
        command = [str(psql), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", statement]
        read = subprocess.run(command, capture_output=True, timeout=READ_TIMEOUT_S)  # noqa: S603
        if read.returncode:
            raise ValueError(read.stderr.decode(errors="replace").strip())
        for line in read.stdout.splitlines():
            yield tuple(_value(name, value) for name, value in msgspec.json.decode(line, type=dict[str, Any]).items())

    return rows


def _value(name: str, value: Any) -> Any:
    return bytes.fromhex(value.removeprefix("\\x")) if name in _BYTES and value is not None else value
