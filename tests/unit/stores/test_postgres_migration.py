"""Migrations of a PostgreSQL database: many at once, of a newer build, and without a server."""

import asyncio

import asyncpg
import pytest

from clarion.domain.errors import OperatorError
from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.stores.postgres.journal import open_journal
from clarion.stores.postgres.migrate import upgrade
from tests.contract.journals import TTL_MS, frames, offsets
from tests.engines.postgres import engine

pytestmark = pytest.mark.engines


@pytest.fixture
def bare():
    return engine().bare()


async def test_processes_that_start_together_migrate_once(bare):
    await asyncio.gather(*(upgrade(bare) for _ in range(4)))
    await upgrade(bare)
    connection = await asyncpg.connect(bare)
    assert await connection.fetch("SELECT count(*) FROM alembic_version") == [(1,)]
    await connection.close()


async def test_a_journal_opens_on_an_empty_database(bare, clock):
    journal = await open_journal(bare, clock, 3)
    assert (await journal.commit(frames(b"1"))).offsets == [1]
    await journal.close()
    again = await open_journal(bare, clock, 7)
    assert (again.partitions, await offsets(again)) == (3, [1])
    await again.close()


async def test_a_schema_of_a_newer_build_is_refused_in_one_sentence(bare):
    await upgrade(bare)
    connection = await asyncpg.connect(bare)
    await connection.execute("UPDATE alembic_version SET version_num = 'postgres_9999'")
    with pytest.raises(OperatorError, match="written by a newer build of Clarion") as refused:
        await upgrade(bare)
    assert str(refused.value).count(". ") == 0
    await connection.close()


async def test_a_failed_migration_leaves_nothing_behind(bare):
    connection = await asyncpg.connect(bare)
    await connection.execute("CREATE SCHEMA journal")
    with pytest.raises(OperatorError, match='schema "journal" already exists'):
        await upgrade(bare)
    assert await connection.fetchval("SELECT to_regclass('alembic_version')") is None
    await connection.close()


async def test_no_server_is_one_sentence_without_the_password(tmp_path):
    with pytest.raises(OperatorError, match="cannot be migrated") as refused:
        await upgrade(f"postgresql://clarion:hunter2@/clarion?host={tmp_path}")
    assert "hunter2" not in str(refused.value)


async def test_a_database_of_an_earlier_build_has_its_level_until_that_holds_no_lease(bare, clock):
    await upgrade(bare, "postgres_0003")
    connection = await asyncpg.connect(bare)
    await connection.execute("INSERT INTO journal.meta VALUES ('partitions', 4)")
    await connection.execute("SELECT journal.acquire('plan', 0, 'worker-0-old', 10000, NULL, 300000)")
    journal = await open_journal(bare, clock, 4)
    assert journal.feature_level() == await journal.enroll("new", FEATURE_LEVEL, TTL_MS) == 0
    await connection.execute("UPDATE journal.leases SET expires_ms = 0")
    await connection.close()
    assert await journal.enroll("new", FEATURE_LEVEL, TTL_MS) == journal.feature_level() == FEATURE_LEVEL
    await journal.close()
