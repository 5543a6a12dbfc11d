"""A PostgreSQL server for tests: one per test process, in a temporary folder, reached over a Unix socket.

`database_of(folder)` gives each data folder a database without rows. A few databases take turns, so a test may have that
many stores at a time; the folder remembers its database, so that a second process finds it, too.

As in production, an owner that is no superuser migrates, and stores log in as a member of `clarion_api` and `clarion_worker`
that owns nothing. `as_role` changes the role of an address.
"""

import asyncio
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from clarion.stores.postgres.migrate import upgrade
from clarion_lab.machine.engines import is_required, postgres_folders
from clarion_lab.machine.scratch import used
from clarion_lab.servers.postgres import APPLICATION, OWNER, SUPERUSER, Server, in_thread, version

__all__ = ["APPLICATION", "OWNER", "SUPERUSER", "Server", "in_thread"]

DATABASES: Final = 4
"""Databases of one test process that take turns."""
API: Final = "clarion_app_api"
WORKER: Final = "clarion_app_worker"
_ROLES: Final = f"""CREATE ROLE {APPLICATION} LOGIN IN ROLE clarion_api, clarion_worker;
    CREATE ROLE {API} LOGIN IN ROLE clarion_api; CREATE ROLE {WORKER} LOGIN IN ROLE clarion_worker"""
_DSN_FILE: Final = "postgres.dsn"
_ROWS: Final = """SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename NOT IN ('alembic_version', 'inbox_epochs')"""
_CLIENTS: Final = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'clarion-%'"""
_SEQUENCES: Final = """SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) FROM pg_sequences
    WHERE last_value IS NOT NULL"""
_MISSING: Final = (
    "no PostgreSQL server can be started here: install PostgreSQL 15 or newer (Debian: apt install postgresql), or put"
    " the folder of `initdb` into PATH"
)


class _Admin(asyncpg.Connection):
    """A connection that is used until the process ends."""

    def __del__(self) -> None:
        """Say nothing about being open."""


class Engine:
    """A server with the schema, and its databases that take turns."""

    def __init__(self) -> None:
        found = postgres_folders()
        if not found:
            raise FileNotFoundError(_MISSING)
        self.server = Server(found[0])
        self.server.wait()
        self._admins: dict[str, asyncpg.Connection] = {}
        self._turn = 0
        in_thread(self._prepare())

    def empty(self) -> str:
        """Return the address of the next database, emptied."""
        self._turn += 1
        name = f"clarion{self._turn % DATABASES}"
        in_thread(self._empty(name))
        return self.server.dsn(name)

    def bare(self) -> str:
        """Return the owner's address of a new database without a schema."""
        self._turn += 1
        name = f"bare{self._turn}"
        in_thread(self._create(name))
        return self.server.dsn(name, OWNER)

    def own(self) -> str:
        """Return the address of a new database with the schema, which nobody else gets."""
        self._turn += 1
        name = f"own{self._turn}"
        in_thread(self._create(name, "TEMPLATE template_clarion"))
        return self.server.dsn(name)

    async def _create(self, name: str, how: str = "") -> None:
        admin = await self._connected("postgres")
        await admin.execute(f"CREATE DATABASE {name} OWNER {OWNER} {how}")
        await admin.close()

    async def _prepare(self) -> None:
        admin = await self._connected("postgres")
        await admin.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
        await admin.execute(f"CREATE DATABASE template_clarion OWNER {OWNER}")
        await upgrade(self.server.dsn("template_clarion", OWNER))
        await admin.execute(_ROLES)
        for number in range(DATABASES):
            await admin.execute(f"CREATE DATABASE clarion{number} TEMPLATE template_clarion OWNER {OWNER}")
        await admin.close()

    async def _empty(self, name: str) -> None:
        admin = self._admins.get(name)
        if admin is None:
            admin = self._admins[name] = await self._connected(name)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        tables = [row[0] for row in await admin.fetch(_ROWS)]
        used = tables and await admin.fetch(
            " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables)  # noqa: S608
        )
        if used:
            await admin.execute(f"TRUNCATE {', '.join(row[0] for row in used)} CASCADE")
        for (sequence,) in await admin.fetch(_SEQUENCES):
            await admin.execute(f"ALTER SEQUENCE {sequence} RESTART")

    async def _connected(self, name: str) -> asyncpg.Connection:
        dsn = self.server.dsn(name, SUPERUSER)
        return await asyncpg.connect(dsn, statement_cache_size=0, connection_class=_Admin)


@cache
def _started() -> Engine | str:
    try:
        return Engine()
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def engine() -> Engine:
    """Return the server of this process. Where none can be started, the test is skipped, or fails with
    CLARION_ENGINES_REQUIRED=1."""
    found = _started()
    if isinstance(found, Engine):
        return found
    if is_required():
        pytest.fail(found)
    pytest.skip(found)


def database_of(folder: Path, make: Callable[[Engine], str] = Engine.empty) -> str:
    """Return the address of the database of a data folder, empty when the folder is new."""
    remembered = folder / _DSN_FILE
    if not remembered.exists():
        folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(make(engine()))
    return remembered.read_text()


async def until_alone(dsn: str) -> None:
    """Return when the server has ended what processes that were killed left under way: it works on for a dead client."""
    connection = await asyncpg.connect(as_role(dsn, SUPERUSER), statement_cache_size=0)
    try:
        async with asyncio.timeout(30):
            while await connection.fetchval(_CLIENTS):
                await connection.fetch("SELECT pg_sleep(0.01)")
    finally:
        await connection.close()


def as_role(dsn: str, role: str) -> str:
    """Return an address for another role."""
    return f"postgresql://{role}@{dsn.partition('@')[2]}"


def main() -> None:
    """Print the servers that were found, and start and stop the newest."""
    for folder in postgres_folders():
        print(f"{version(folder)}: {folder}")  # noqa: T201
    with used():
        found = _started()
        if not isinstance(found, Engine):
            raise SystemExit(found)
        found.server.stop()
    print("started, migrated and stopped")  # noqa: T201


if __name__ == "__main__":
    main()
