"""Rows for every table of a PostgreSQL database, and what its catalogue says about their protection."""

from typing import Any, Final

import asyncpg

_VALUES: Final[dict[str, Any]] = {"bytea": b"v", "boolean": True, "text[]": ["v"]}
"""A value of each type; it is the name of its row for text, and 1 for numbers."""
_COLUMNS: Final = """SELECT c.oid::regclass::text AS table, a.attname AS name, format_type(a.atttypid, NULL) AS type
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attidentity = ''
    AND c.relnamespace IN ('public'::regnamespace, 'journal'::regnamespace) ORDER BY 1, a.attnum"""
_UNPROTECTED: Final = """SELECT c.oid::regclass::text FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant')
    AND NOT (c.relrowsecurity AND c.relforcerowsecurity
        AND (c.relispartition OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)))
    ORDER BY 1"""


async def unprotected(db: asyncpg.Connection) -> list[str]:
    """Return the tables with a column `tenant` without row-level security that binds the owner, or without a policy."""
    return [row[0] for row in await db.fetch(_UNPROTECTED)]


async def columns_of(db: asyncpg.Connection) -> dict[str, dict[str, str]]:
    """Return the type of each column that a caller gives, by table."""
    found: dict[str, dict[str, str]] = {}
    for table, name, kind in await db.fetch(_COLUMNS):
        found.setdefault(table, {})[name] = kind
    return found


async def fill(db: asyncpg.Connection, tenants: list[str]) -> set[str]:
    """Store a row of each tenant in every table that has tenants, and return these tables."""
    tables = {table: kinds for table, kinds in (await columns_of(db)).items() if "tenant" in kinds}
    for table, kinds in tables.items():
        places = ", ".join(f"${number}" for number in range(1, len(kinds) + 1))
        names = ", ".join(f'"{name}"' for name in kinds)
        for tenant in tenants:
            await db.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *row_of(kinds, tenant))  # noqa: S608
    return set(tables)


def row_of(kinds: dict[str, str], tenant: str) -> list[Any]:
    """Return the values of a row of a tenant; those that are text or bytes differ between tenants."""
    own = {"text": tenant, "bytea": tenant.encode()}
    return [tenant if name == "tenant" else own.get(kind, _VALUES.get(kind, 1)) for name, kind in kinds.items()]
