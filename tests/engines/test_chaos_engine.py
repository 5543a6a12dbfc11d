"""The server that a chaos run breaks: it sees who writes, dies, comes back, and counts what it cut."""

import asyncio
import contextlib
import time

import asyncpg
import psutil
import pytest

from clarion.stores.postgres.errors import LOST
from clarion_lab.chaos.postgres import CONNECTIONS, DATABASE, PostgresEngine
from clarion_lab.chaos.standby import PRIMARY, FailoverEngine
from tests.engines.postgres import engine

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]
NAME = {"application_name": "clarion-worker"}
MINE = psutil.Process()


@pytest.fixture
def server():
    engine()  # where no server can be started, the test is skipped
    started = PostgresEngine()
    yield started
    started.stop(None)


async def connect(server):
    return await asyncpg.connect(server.environment["CLARION_POSTGRES_DSN"], server_settings=NAME)


async def in_time(is_so):
    until = time.monotonic() + 5
    while not (found := is_so()) and time.monotonic() < until:
        await asyncio.to_thread(time.sleep, 0.01)
    return found


async def write(connection):
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO journal.meta (name, value) VALUES ('under way', 1)")
    return transaction


async def test_a_connection_that_only_reads_is_not_at_work(server):
    connection = await connect(server)
    await connection.fetch("SELECT 1 FROM journal.meta")
    await asyncio.sleep(0.1)
    assert not server.has_written(MINE)
    transaction = await write(connection)
    assert await in_time(lambda: server.has_written(MINE))
    await transaction.rollback()
    await asyncio.sleep(0.1)
    assert server.has_written(MINE), "since its start"
    await connection.close()
    assert await in_time(lambda: not server.has_written(MINE))


async def test_cut_connections_and_their_writes_are_counted(server):
    idle, writing = await connect(server), await connect(server)
    await write(writing)
    assert await in_time(lambda: server.has_written(MINE))
    assert await asyncio.to_thread(server.strike, CONNECTIONS, 0.5)
    assert server.figures == {"restarts": 0, "cuts": 1, "connections_cut": 2, "writes_cut": 1}
    for connection in (idle, writing):
        with pytest.raises((asyncpg.PostgresError, *LOST)):
            await connection.fetch("SELECT 1")


async def test_a_killed_server_keeps_what_it_acknowledged(server, tmp_path):
    connection = await connect(server)
    await connection.execute("INSERT INTO journal.meta (name, value) VALUES ('of a test', 1)")
    await asyncio.to_thread(server.strike, DATABASE, 0.1)
    assert server.figures["restarts"] == 1
    with contextlib.suppress(OSError, asyncpg.PostgresError):
        await connection.close()
    again = await connect(server)
    await write(again)
    assert await in_time(lambda: server.has_written(MINE)), "it looks on after a restart"
    await again.close()
    kept = server.stores(tmp_path).journal("SELECT name, value FROM meta WHERE name = 'of a test'")
    assert [name for name, _ in kept] == ["of a test"]


async def test_a_standby_takes_over_with_all_that_was_acknowledged_twice(tmp_path):
    engine()
    pair = await asyncio.to_thread(FailoverEngine)
    try:
        for number in (1, 2):
            connection = await connect(pair)
            await connection.execute("INSERT INTO journal.meta (name, value) VALUES ($1, 1)", f"of a test {number}")
            await asyncio.to_thread(pair.strike, PRIMARY, 0.1)
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                await connection.close()
        assert pair.figures["failovers"] == 2
        kept = pair.stores(tmp_path).journal("SELECT name FROM meta WHERE name LIKE 'of a test%' ORDER BY name")
        assert [name for (name,) in kept] == ["of a test 1", "of a test 2"]
    finally:
        await asyncio.to_thread(pair.stop, None)
