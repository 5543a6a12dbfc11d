"""How the tables of the database are read and written for another engine (`ports.store_rows`).

A table is carried over with all of its columns, under its own name, with the schema's before it for the journal's. What differs from
that stands here.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from clarion.journal.topics import MARKERS
from clarion.ports.store_rows import OWN_FACTS, Table
from clarion.stores.postgres.pool import Connection

LEFT: Final = {
    "alembic_version": "the revision of the schema",
    "journal.processes": "which processes are at work: none",
    "journal.writers": "the last commits of processes",
    "usage": "used counts of limits, which begin anew as after a crash of the server",
    "account_health": "health of accounts, which begins anew as after a crash of the server",
    "presence": "who is connected: nobody",
    "presence_gateways": "which gateways are at work: none",
    "delivery_vendor_ids": "derived from deliveries",
    "tenant_count": "derived from tenants",
}
"""Tables that are not carried over, and why."""
DERIVED: Final = {
    "profiles": {"digest": "of the other columns"},
    "users": {"device_kinds": "of devices"},
    "journal.leases": {"expires_ms": "no lease is held"},
    "journal.streams": {"head": "of frames", "total": "of frames", "appended_ms": "of frames"},
}
"""Columns that are not carried over, and what they are derived from."""
KEYS: Final = {"profiles": ("profile_id",)}
"""Keys of tables whose own key holds a derived column."""
_FILTERS: Final = {
    "facts": f"name NOT IN ({', '.join(repr(name) for name in sorted(OWN_FACTS))})",
    "journal.streams": f"topic NOT IN ({', '.join(repr(topic) for topic in sorted(MARKERS))})",
    # Facts whose deliveries were dropped show nothing any more.
    "request_facts": """EXISTS (
        SELECT 1 FROM deliveries d WHERE d.tenant = request_facts.tenant AND d.setting = request_facts.digest)""",
}
_COLUMNS: Final = """SELECT n.nspname AS schema, c.relname AS name, a.attname AS column, format_type(a.atttypid, NULL) AS type,
    a.attidentity <> '' AS is_given, coalesce(array_position(i.indkey::smallint[], a.attnum), -1) AS place
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE n.nspname IN ('public', 'journal') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY n.nspname, c.relname, a.attnum"""

HEADS: Final = """UPDATE journal.streams s SET head = coalesce(f."offset", s.trimmed_offset),
    total = coalesce(f.total, s.trimmed_total), appended_ms = coalesce(f.appended_ms, 0)
    FROM journal.streams o LEFT JOIN LATERAL (
        SELECT "offset", total, appended_ms FROM journal.frames f WHERE f.stream_id = o.stream_id
        ORDER BY "offset" DESC LIMIT 1
    ) f ON true WHERE s.stream_id = o.stream_id"""
VENDOR_IDS: Final = """INSERT INTO delivery_vendor_ids (tenant, vendor, vendor_message_id, delivery_id)
    SELECT DISTINCT ON (tenant, vendor, vendor_message_id) tenant, vendor, vendor_message_id, id FROM deliveries
    WHERE vendor = ANY ($1::text[]) AND vendor_message_id <> '' ORDER BY tenant, vendor, vendor_message_id, id DESC
    ON CONFLICT DO NOTHING"""


class Form(NamedTuple):
    """How a table is read and written: its qualified name, the types of its columns, what is kept of it, and the column that the
    server gives out by itself."""

    table: Table
    place: str
    types: dict[str, str]
    kept: str
    numbered: str | None

    @property
    def source(self) -> str:
        """The table in a FROM, with the rows that are carried over."""
        return f"{self.place} WHERE {self.kept}"

    def order(self, key: Sequence[str], how: str = "") -> str:
        """Return the order of a key: that of bytes, as every engine has it."""
        return ", ".join(f"{self._compared(column)}{how}" for column in key)

    def above(self, key: Sequence[str]) -> str:
        """Return the condition of the rows above a key."""
        places = ", ".join(f"${number}::{self.types[column]}" for number, column in enumerate(key, 1))
        return f"({self.order(key)}) > ({places})"

    def insert(self, columns: Sequence[str], derived: Sequence[tuple[str, str, str]]) -> str:
        """Return the statement that stores rows, whose columns are arrays; `derived` are columns with their type and the
        expression of theirs."""
        given = ", ".join(f"${number}::{self.types[column]}[]" for number, column in enumerate(columns, 1))
        more = "".join(f", ${len(columns) + number}::{kind}[]" for number, (_, kind, _) in enumerate(derived, 1))
        named = quoted([*columns, *(name for name, _, _ in derived)])
        values = ", ".join([quoted(columns), *(text for _, _, text in derived)])
        return (
            f"INSERT INTO {self.place} ({named}) OVERRIDING SYSTEM VALUE SELECT {values}"  # noqa: S608 - of the schema
            f" FROM unnest({given}{more}) AS given ({named}) ON CONFLICT DO NOTHING"
        )

    def _compared(self, column: str) -> str:
        return f'"{column}" COLLATE "C"' if self.types[column] == "text" else f'"{column}"'


def quoted(columns: Sequence[str]) -> str:
    """Return columns as a statement names them."""
    return ", ".join(f'"{column}"' for column in columns)


async def forms_of(db: Connection) -> dict[str, Form]:
    """Return the forms of all tables that are carried over, by name."""
    found: dict[str, list[Any]] = {}
    for row in await db.fetch(_COLUMNS):
        name = row["name"] if row["schema"] == "public" else f"journal.{row['name']}"
        if name not in LEFT:
            found.setdefault(name, []).append(row)
    return {name: _form(name, rows) for name, rows in found.items()}


def _form(name: str, rows: list[Any]) -> Form:
    derived = DERIVED.get(name, {})
    columns = tuple(row["column"] for row in rows if row["column"] not in derived)
    of_key = tuple(row["column"] for row in sorted(rows, key=lambda row: row["place"]) if row["place"] >= 0)
    numbered = [row["column"] for row in rows if row["is_given"]]
    return Form(
        Table(name, columns, KEYS.get(name, of_key)),
        f'"{rows[0]["schema"]}"."{rows[0]["name"]}"',
        {row["column"]: row["type"] for row in rows},
        _FILTERS.get(name, "true"),
        numbered[0] if numbered else None,
    )
