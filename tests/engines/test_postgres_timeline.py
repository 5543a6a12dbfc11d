"""A standby takes over: what a process remembers may be of a future that the server does not have, so nothing of it is used."""

import asyncio
from contextlib import suppress

import pytest

from clarion.domain.errors import StoreRewound
from clarion.ports.stage_store import Commit, GroupProgress, Lease, StageResult
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import NO_TENANT
from clarion.stores.postgres.timeline import UNKNOWN, timeline_of
from clarion_lab.chaos.standby import PRIMARY, FailoverEngine
from tests.contract.journals import PARTITIONS, VirtualClock, frame, payloads
from tests.engines.postgres import database_of, engine

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]
OTHER = "000000FF"


@pytest.fixture
async def database(tmp_path):
    opened = Database(database_of(tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
async def journal(database):
    opened = PostgresJournal(database, VirtualClock(), await start(database, PARTITIONS))
    yield opened
    await opened.close()


async def test_every_connection_after_a_failover_is_refused_and_a_new_process_works():
    engine()
    pair = await asyncio.to_thread(FailoverEngine)
    try:
        dsn = pair.environment["CLARION_POSTGRES_DSN"]
        database = Database(dsn)
        assert await database.fetchval(NO_TENANT, "SELECT 1") == 1
        before = database.timeline
        await asyncio.to_thread(pair.strike, PRIMARY, 0)
        for _ in range(2):
            with pytest.raises(StoreRewound):
                await database.fetchval(NO_TENANT, "SELECT 1")
        with pytest.raises(StoreRewound):
            await database.dedicated()
        await database.close()
        successor = Database(dsn)
        assert await successor.fetchval(NO_TENANT, "SELECT 1") == 1
        assert int(successor.timeline, 16) == int(before, 16) + 1
        await successor.close()
    finally:
        await asyncio.to_thread(pair.stop, None)


async def test_behind_an_open_connection_no_commit_and_no_renewal_is_made(journal, database, monkeypatch):
    """As a pooler shows it, which keeps the connections of its clients."""
    lease = await journal.acquire("record", 0, "me", 10_000)
    assert isinstance(lease, Lease)
    await journal.commit(StageResult(frames=[frame()]))
    known = database.timeline
    monkeypatch.setattr(database, "_timeline", OTHER)
    step = StageResult(lease=lease, frames=[frame()], progress=GroupProgress([Commit(lease, "t", 1)]))
    with pytest.raises(StoreRewound):
        await journal.commit(step)
    with pytest.raises(StoreRewound):
        await journal.positions("record", [0])
    successor = Database(database._dsn)
    kept = PostgresJournal(successor, VirtualClock(), await start(successor, PARTITIONS))
    assert successor.timeline == known
    assert len(await payloads(kept)) == 1
    monkeypatch.setattr(successor, "_timeline", OTHER)
    with pytest.raises(StoreRewound):
        await kept.renew([lease], 10_000)
    await kept.close()
    await successor.close()


async def test_a_server_that_does_not_tell_its_timeline_is_used_without(journal, database, monkeypatch):
    monkeypatch.setattr(database, "_timeline", UNKNOWN)
    lease = await journal.acquire("record", 0, "me", 10_000)
    assert (await journal.commit(StageResult(lease=lease, frames=[frame()]))).offsets == [1]
    assert await journal.renew([lease], 10_000) == [lease]


async def test_a_timeline_has_eight_digits(database):
    async with database.acquire() as connection:
        assert await timeline_of(connection) == database.timeline
    with suppress(ValueError):
        assert int(database.timeline, 16) >= 1
    assert len(database.timeline) == 8
