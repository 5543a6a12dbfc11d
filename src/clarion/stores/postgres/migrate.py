"""Schema migrations by Alembic: one line of revisions for the whole database, under `migrations/versions`.

`upgrade` is safe to call from every process at start: an advisory lock lets one of them do the work, in one transaction, so
that a crash leaves either the old schema or the new one.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from clarion.domain.errors import OperatorError
from clarion.domain.limits_postgres import POSTGRES_CONNECT_S_MAX
from clarion.stores.postgres.errors import words
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import NO_TENANT

_ROOT: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x636C6172696F6E
"""The advisory lock of migrations: the word `clarion`."""
_CURRENT: Final = "SELECT version_num FROM alembic_version"
_HAS_VERSION: Final = "SELECT to_regclass('public.alembic_version') IS NOT NULL"
_MAY_READ: Final = "SELECT has_table_privilege('public.alembic_version', 'SELECT')"


async def upgrade(dsn: str, revision: str = "head") -> None:
    """Bring the schema to the newest revision, or to an older one that a test begins with. Raises `OperatorError` when a
    newer build wrote it, or the database cannot be reached or changed."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            dsn,
            timeout=POSTGRES_CONNECT_S_MAX,
            statement_cache_size=0,
            server_settings={"application_name": "clarion-migrate"},
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_migrate, revision)
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        origin = getattr(getattr(error, "orig", None), "__cause__", None) or getattr(error, "orig", None) or error
        raise OperatorError(f"the PostgreSQL database cannot be migrated: {words(origin)}.") from None
    finally:
        await engine.dispose()


async def find_difference(database: Database) -> str | None:
    """Return in one sentence how the schema differs from what this build needs, None when it does not. Raises
    `StoreUnavailable`, and `OperatorError` for a user who has no rights."""
    if not await database.fetchval(NO_TENANT, _HAS_VERSION):
        return "The PostgreSQL database has no schema yet: run 'clarion migrate'."
    if not await database.fetchval(NO_TENANT, _MAY_READ):
        raise OperatorError(
            "The user of postgres.dsn lacks rights: it is not a member of clarion_api or clarion_worker."
        )
    current = await database.fetchval(NO_TENANT, _CURRENT)
    if current == _newest():
        return None
    if current in _revisions():
        return (
            f"The schema of the PostgreSQL database is too old ({current}, and this build needs {_newest()}):"
            " run 'clarion migrate'."
        )
    return _newer(current)


def is_known(revision: str) -> bool:
    """Return whether this build reads or migrates a schema of a revision."""
    return revision in _revisions()


def run_script(connection: Connection, script: str) -> None:
    """Run a text of several statements in the migration's transaction."""
    driver: Any = connection.connection.dbapi_connection
    driver.run_async(lambda raw: raw.execute(script))


def _migrate(connection: Connection, revision: str) -> None:
    is_new = not connection.scalar(text(_HAS_VERSION))
    current = None if is_new else connection.scalar(text(_CURRENT))
    if current == _newest():
        return
    if current is not None and current not in _revisions():
        raise OperatorError(_newer(current))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _newer(current: str | None) -> str:
    return (
        f"The PostgreSQL database was written by a newer build of Clarion (its schema is {current}, and this build"
        f" reads up to {_newest()}): start that build or a newer one; 'clarion migrate' of this one cannot go back."
    )


@cache
def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


@cache
def _revisions() -> frozenset[str]:
    return frozenset(one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # paths may hold spaces and colons
    return config
