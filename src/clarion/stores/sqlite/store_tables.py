"""How the tables of the files are read and written for another engine (`ports.store_rows`).

A table of a file is carried over with all of its columns, under its own name, with the file's before it for the journal's. What
differs from that stands here.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw

from clarion.journal.topics import MARKERS
from clarion.ports.store_rows import OWN_FACTS, Table
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.journal_streams import OFFSET_BITS

RENAMED: Final = {
    ("state", "cancellations"): "subject_cancellations",
    ("state", "positions"): "fold_positions",
    ("state", "settings"): "request_facts",
    ("state", "sightings"): "seen_receipts",
    ("state", "standings"): "health_changes",
}
"""Tables that other engines name otherwise, as all state is in one place there."""
LEFT: Final = {
    "alembic_version": "the revision of the schema",
    "journal.alembic_version": "the revision of the schema",
    "journal.processes": "which processes are at work: none",
}
"""Tables that are not carried over, and why. Limits used and health of accounts (`quota.db`, `standing.db`) begin anew, as after a
crash, and nobody is connected (`presence.db`)."""
DERIVED: Final = {
    "profiles": {"digest": "of the other columns"},
    "journal.leases": {"expires_monotonic_ms": "no lease is held"},
    "journal.frames": {"frame_id": "stream and offset in one number"},
}
"""Columns that are not carried over, and what they are derived from."""


class Form(NamedTuple):
    """How a table is read and written: the file, the columns, and the statements. `after` continues after a key. The key of a
    numbered one is given out by SQLite."""

    file: str
    table: Table
    select: str
    insert: str
    order: str
    after: str
    is_numbered: bool = False


def quoted(columns: Sequence[str]) -> str:
    """Return columns as a statement names them."""
    return ", ".join(f'"{column}"' for column in columns)


def ordered(key: Sequence[str]) -> tuple[str, str]:
    """Return the order of a key, and the condition of the rows above one."""
    return quoted(key), f"({quoted(key)}) > ({_places(len(key))})"


def _places(count: int) -> str:
    return ", ".join(f"?{number}" for number in range(1, count + 1))


def _special(file: str, name: str, columns: str, key: str, select: str, insert: str) -> Form:
    table = Table(name, tuple(columns.split()), tuple(key.split()))
    return Form(file, table, select, f"INSERT OR IGNORE INTO {insert}", *ordered(table.key))


_MASK: Final = (1 << OFFSET_BITS) - 1
_FRAMES: Final = _special(
    "journal",
    "journal.frames",
    "stream_id offset appended_ms count total payload",
    "stream_id offset",
    f"""SELECT frame_id, frame_id >> {OFFSET_BITS} AS stream_id, frame_id & {_MASK} AS "offset", appended_ms, count, total,
        payload FROM frames""",  # noqa: S608 - constants
    f"frames (frame_id, appended_ms, count, total, payload) VALUES (?1 << {OFFSET_BITS} | ?2, ?3, ?4, ?5, ?6)",
)
_SPECIAL: Final = (
    _FRAMES._replace(order="frame_id", after=f"frame_id > (?1 << {OFFSET_BITS} | ?2)"),
    _special(
        "journal",
        "journal.leases",
        "group partition owner fence",
        "group partition",
        'SELECT "group", partition, owner, fence FROM leases',
        'leases ("group", partition, owner, fence, expires_monotonic_ms) VALUES (?, ?, ?, ?, 0)',
    ),
    # Facts are stored once here, and for each tenant that uses them elsewhere.
    _special(
        "state",
        "request_facts",
        "tenant digest facts",
        "tenant digest",
        "SELECT DISTINCT d.tenant, s.digest, s.facts FROM deliveries d JOIN settings s ON s.digest = d.setting",
        "settings (digest, facts) SELECT ?2, ?3 WHERE ?1 IS NOT NULL",
    ),
    _special(
        "control",
        "key_networks",
        "tenant key_id network last_ms",
        "tenant key_id network",
        "SELECT k.tenant, n.key_id, n.network, n.last_ms FROM key_networks n JOIN api_keys k USING (key_id)",
        "key_networks (key_id, network, last_ms) SELECT ?2, ?3, ?4 WHERE ?1 IS NOT NULL",
    ),
)
_FILTERS: Final = {
    "facts": f"name NOT IN ({', '.join(repr(name) for name in sorted(OWN_FACTS))})",
    "journal.streams": f"topic NOT IN ({', '.join(repr(topic) for topic in sorted(MARKERS))})",
}


def name_of(file: str, table: str) -> str:
    """Return the name of a table of a file as all engines use it."""
    return RENAMED.get((file, table)) or (f"journal.{table}" if file == "journal" else table)


def forms_of(db: apsw.Connection, file: str) -> list[Form]:
    """Return the forms of all tables of a file that are carried over."""
    found, special = [], {form.table.name: form for form in _SPECIAL}
    tables = fetch_all(
        db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    for (table,) in tables:
        name = name_of(file, table)
        if name in LEFT:
            continue
        found.append(special.get(name) or _form(db, file, name, table))
    return found


def _form(db: apsw.Connection, file: str, name: str, table: str) -> Form:
    info = fetch_all(db, f'PRAGMA table_info("{table}")')
    columns = tuple(row[1] for row in info if row[1] not in DERIVED.get(name, {}))
    keys = sorted((row for row in info if row[5]), key=lambda row: int(row[5]))
    key = tuple(row[1] for row in keys)
    kept = f" WHERE {_FILTERS[name]}" if name in _FILTERS else ""
    written = (*columns, "digest") if name == "profiles" else columns
    return Form(
        file,
        Table(name, columns, key),
        f'SELECT {quoted(columns)} FROM "{table}"{kept}',  # noqa: S608 - names of the schema
        f'INSERT OR IGNORE INTO "{table}" ({quoted(written)}) VALUES ({_places(len(written))})',  # noqa: S608
        *ordered(key),
        is_numbered=len(keys) == 1 and keys[0][2] == "INTEGER",
    )
