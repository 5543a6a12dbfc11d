"""The backends of the state store, opened the same way, and their rows as plain tables."""

from collections.abc import Callable
from pathlib import Path

import asyncpg
from msgspec.structs import astuple

from clarion.domain.history import InboxItem
from clarion.stores.memory.state import MemoryState
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.state import PostgresState
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.state import SqliteState
from tests.engines.postgres import SUPERUSER, as_role, database_of, in_thread
from tests.stores import prepared


class OwnDatabase(PostgresState):
    """A state store that alone uses its database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database


State = MemoryState | SqliteState | OwnDatabase


def memory(_data_dir: Path) -> MemoryState:
    return MemoryState()


def sqlite(data_dir: Path) -> SqliteState:
    return SqliteState(prepared(data_dir, "state"))


def postgres(data_dir: Path) -> OwnDatabase:
    return OwnDatabase(Database(database_of(data_dir), connections=4))


STATES: dict[str, Callable[[Path], State]] = {"memory": memory, "sqlite": sqlite, "postgres": postgres}
"""Backends of the ports `state`, `history`, `inbox` and `receipt_lookup`."""


async def shut(state: State) -> None:
    """Close a store that was opened here."""
    state.close()
    if isinstance(state, OwnDatabase):
        await state.database.close()


_COLUMNS = {
    "inbox_items": ("inbox_items", ", ".join(InboxItem.__struct_fields__)),
    "standings": ("standings", "tenant, at_ms, provider, channel, vendor, before, state, detail"),
    "totals": ("broadcast_totals", "tenant, broadcast_id, channel, state, reason, count"),
    "counters": ("counters", "minute_ms, tenant, channel, what, reason, count"),
    "dead_letters": (
        "dead_letters",
        "tenant, delivery_id, channel, user_id, reason, detail, attempt, dead_ms, payload, replayed_ms",
    ),
}
"""Tables and columns of those that differ from the rows in memory."""
_NAMES_ON_POSTGRES = {
    "settings": "request_facts",
    "cancellations": "subject_cancellations",
    "sightings": "seen_receipts",
    "standings": "health_changes",
}
_ROWS_WITHOUT_NAMES = ("totals", "counters", "cancellations", "sightings")


def dump_memory(state: MemoryState) -> dict[str, list]:
    """Return every table of a memory store as sorted rows; sums of zero are left out."""
    held = state.tables
    letters = [letter.row for rows in held.letters.values() for _, letter in rows.newest()]
    captures = [one for rows in held.captures.values() for _, of_one in rows.newest() for one in of_one.values()]
    found = {
        "notifications": [row for rows in held.notifications.values() for _, row in rows.newest()],
        "deliveries": [row for _, row in held.deliveries.newest()],
        "attempts": [row for result in held.attempts.values() for row in result.values()],
        "chunks": [row for _, row in held.chunks.newest()],
        "chunk_states": held.chunk_states.values(),
        "inbox_items": [row for rows in held.items.values() for _, row in rows.newest()],
        "captures": captures,
        "dead_letters": letters,
        "standings": [row for rows in held.health_changes.values() for row in rows],
    }
    sums = {"totals": held.totals, "counters": held.counters}
    return {
        **{name: sorted(map(astuple, rows), key=repr) for name, rows in found.items()},
        **{name: sorted((*key, count) for key, count in table.items() if count) for name, table in sums.items()},
        "settings": sorted(held.settings.items(), key=repr),
        "cancellations": sorted((*key, at_ms) for key, at_ms in held.cancellations.items()),
        "sightings": sorted(
            (*key, user_id, *times) for key, seen in held.seen_receipts.items() for user_id, times in seen.items()
        ),
    }


def dump_sqlite(data_dir: Path) -> dict[str, list]:
    """Return every table of a state file in the form of `dump_memory`."""
    db = connect(path_of(data_dir, "state"), readonly=True)
    found = {}
    for name in dump_memory(MemoryState()):
        table, columns = _COLUMNS.get(name, (name, "*"))
        rows = db.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608
        if name in ("totals", "counters"):
            rows = [row for row in rows if row[-1]]
        found[name] = sorted(rows) if name in _ROWS_WITHOUT_NAMES else sorted(rows, key=repr)
    db.close()
    return found


async def dump_postgres(dsn: str) -> dict[str, list]:
    """Return every table of a database in the form of `dump_memory`."""
    db = await asyncpg.connect(as_role(dsn, SUPERUSER))
    found = {}
    for name in dump_memory(MemoryState()):
        table, columns = _COLUMNS.get(name, (name, "*"))
        table = _NAMES_ON_POSTGRES.get(name, table)
        columns = "DISTINCT digest, facts" if name == "settings" else columns
        rows = [tuple(row) for row in await db.fetch(f"SELECT {columns} FROM {table}")]  # noqa: S608
        found[name] = [row for row in rows if row[-1]] if name in ("totals", "counters") else rows
    await db.close()
    return found


def dump(state: State, data_dir: Path) -> dict[str, list]:
    """Return every table of a store in a form that is the same for all backends."""
    if isinstance(state, OwnDatabase):
        return plain(in_thread(dump_postgres(database_of(data_dir))))
    return plain(dump_memory(state) if isinstance(state, MemoryState) else dump_sqlite(data_dir))


def plain(tables: dict[str, list]) -> dict[str, list]:
    """Return a dump with enumeration members and truth as the numbers that SQLite gives back."""

    def value(v):
        return int(v) if isinstance(v, int) else str(v) if isinstance(v, str) else v

    return {name: sorted((tuple(value(v) for v in row) for row in rows), key=repr) for name, rows in tables.items()}
