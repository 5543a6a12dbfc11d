from pathlib import Path

import apsw

from clarion.stores.sqlite.connection import connect, fetch_all


def test_a_statement_with_a_limit_is_compiled_once(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.db")
    db.execute("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    db.executemany("INSERT INTO items VALUES (?)", [(n,) for n in range(100)])
    compiled: list[tuple[object, ...]] = []

    def allow(*operation: object) -> int:
        compiled.append(operation)  # SQLite asks while it compiles, not while it runs
        return apsw.SQLITE_OK

    db.authorizer = allow
    for first in range(10):
        assert len(fetch_all(db, "SELECT id FROM items WHERE id >= ? LIMIT ?", (first, 5))) == 5
        if not first:
            assert compiled
            compiled.clear()
    assert compiled == []
