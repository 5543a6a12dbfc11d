"""What `clarion doctor` finds of a PostgreSQL database."""

import asyncpg
import pytest

from clarion.app.config.loading import load
from clarion.app.doctor import server as module
from clarion.app.doctor.checks import examine
from clarion.app.wiring.postgres_stores import prepare
from clarion.ports.store_rows import FACT
from tests.engines.postgres import OWNER, SUPERUSER, Engine, as_role, database_of, engine

pytestmark = [pytest.mark.engines, pytest.mark.allow_hosts(["127.0.0.1"])]


@pytest.fixture
def dsn(tmp_path):
    return database_of(tmp_path, Engine.own)


@pytest.fixture
def config(tmp_path, dsn):
    def of(dsn=dsn, folder="data", **more):
        return load(
            None,
            {
                "CLARION_DATA_DIR": str(tmp_path / folder),
                "CLARION_STORE": "postgres",
                "CLARION_POSTGRES_DSN": dsn,
                "CLARION_WORKERS_COUNT": "2",
            }
            | more,
        )

    return of


async def found(config, name="store"):
    return [finding async for check, finding in examine(config) if check == name]


async def to_mend(config):
    return [finding.sentence for finding in await found(config) if not finding.is_fine]


async def execute(dsn, statement, *values):
    connection = await asyncpg.connect(as_role(dsn, SUPERUSER), statement_cache_size=0)
    await connection.execute(statement, *values)
    await connection.close()


async def test_a_database_that_can_be_used(config, dsn):
    await prepare(config(), 4)
    sentences = [finding.sentence for finding in await found(config())]
    assert await to_mend(config()) == []
    assert "4 processes may open 36 connections" in sentences[1]
    assert "a member of clarion_api and clarion_worker" in sentences[3]
    assert "The master key is that of the installation." in sentences
    assert "The clock agrees with the server's." in sentences


async def test_pools_that_do_not_fit(config):
    (sentence,) = await to_mend(config(CLARION_POSTGRES_POOL_SIZE="64"))
    assert "4 processes may open 260 connections; the server takes 197" in sentence


async def test_rights(config, dsn):
    (sentence,) = await to_mend(config(as_role(dsn, SUPERUSER)))
    assert "Row-level security does not bind the user" in sentence
    await execute(dsn, "DROP ROLE IF EXISTS stranger")
    await execute(dsn, "CREATE ROLE stranger LOGIN")
    (sentence,) = await to_mend(config(as_role(dsn, "stranger")))
    assert "lacks rights" in sentence or "member of neither" in sentence


async def test_keys_that_do_not_match(config):
    await prepare(config(), 4)
    (sentence,) = await to_mend(config(folder="other"))
    assert sentence == "This machine does not have the master key of the installation."
    (sentence,) = await to_mend(config(CLARION_MASTER_KEY="B" * 43 + "="))
    assert sentence == "The master key of this machine is not that of the installation."


async def test_a_clock_that_is_wrong(config, monkeypatch):
    monkeypatch.setattr(module.time, "time_ns", lambda: 10**18)
    (sentence,) = await to_mend(config())
    assert "behind the server's" in sentence


async def test_schema_and_store_that_moved(config, dsn):
    mark = b'{"id": "a", "role": "target", "other": "sqlite"}'
    await execute(dsn, "INSERT INTO facts VALUES ($1, $2)", FACT, mark)
    (sentence,) = await to_mend(config())
    assert "migration from sqlite has not ended" in sentence
    (sentence,) = await to_mend(config(as_role(engine().bare(), OWNER)))
    assert "has no schema yet" in sentence


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("", "set postgres.dsn"),
        ("postgresql://x@/y?host=/nowhere", "cannot be reached"),
        ("mysql://x", "has to begin with"),
    ],
)
async def test_an_address_that_leads_nowhere(config, dsn, words):
    (sentence,) = await to_mend(config(dsn))
    assert words in sentence
