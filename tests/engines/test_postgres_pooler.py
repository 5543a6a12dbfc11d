"""Through a PgBouncer in transaction mode: it is noticed, no statement needs a session, and no tenant's row leaks into the next
transaction of a shared connection."""

import asyncio

import pytest

from clarion.app.config.loading import load
from clarion.app.wiring import postgres_stores
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.server_check import check_server
from clarion.stores.postgres.tenancy import NO_TENANT
from clarion_lab.load.programs import System
from tests.contract.journals import PARTITIONS, VirtualClock, frames, payloads
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant
from tests.e2e.receiver import receiving
from tests.e2e.test_postgres_outage import SECRET, SETTINGS, Load
from tests.engines.pgbouncer import PgBouncer
from tests.engines.postgres import OWNER, Engine, as_role, database_of, engine

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.enable_socket]


@pytest.fixture
def pooler():
    started = PgBouncer(engine().server)
    yield started
    started.stop()


@pytest.fixture
def direct(tmp_path):
    return database_of(tmp_path, Engine.own)


@pytest.fixture
async def database(pooler, direct):
    opened = Database(pooler.dsn(direct), through_pooler=True, connections=16)
    yield opened
    await opened.close()


async def test_it_is_noticed_by_itself(pooler, direct):
    assert (await check_server(pooler.dsn(direct))).is_pooled
    assert not (await check_server(direct)).is_pooled


async def test_many_clients_share_few_connections_and_leave_nothing_behind(database):
    insert = "INSERT INTO topics (tenant, key, name, created_ms) VALUES ($1, $2, $2, 0)"
    names = [f"t{number}" for number in range(16)]

    async def work(name):
        await database.transact(name, lambda db: db.execute(insert, name, name))
        for _ in range(20):
            assert [row[0] for row in await database.fetch(name, "SELECT tenant FROM topics")] == [name]
            assert await database.fetch(NO_TENANT, "SELECT tenant FROM topics") == []

    await asyncio.gather(*map(work, names))


async def test_commits_are_found_and_growth_is_seen_without_a_listener(pooler, direct, database):
    clock = VirtualClock()
    journal = PostgresJournal(database, clock, await start(database, PARTITIONS))
    other = Database(pooler.dsn(direct), through_pooler=True)
    second = PostgresJournal(other, clock, await start(other, PARTITIONS))
    try:
        assert not other.can_listen
        watch = second.watch(["t"])
        await asyncio.gather(*(journal.commit(frames(b"%d" % number)) for number in range(50)))
        assert await watch.wait(5_000)
        assert len(await payloads(second)) == 50
    finally:
        await journal.close()
        await second.close()


async def test_a_direct_address_is_used_to_listen(pooler, direct):
    database = Database(pooler.dsn(direct), through_pooler=True, direct_dsn=direct)
    connection = await database.dedicated()
    assert await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
    await connection.close()
    await database.close()


def test_the_schema_is_migrated_past_the_pooler(tmp_path, pooler):
    bare = database_of(tmp_path, Engine.bare)
    settings = {
        "CLARION_DATA_DIR": str(tmp_path / "data"), "CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN": pooler.dsn(bare),
        "CLARION_POSTGRES_DIRECT_DSN": bare,
    }  # fmt: skip
    asyncio.run(postgres_stores.prepare(load(None, settings), 4))


@pytest.mark.parametrize("past", [True, False])
def test_an_installation_works(tmp_path, pooler, direct, past):
    settings = {**QUICK, **SETTINGS, "CLARION_POSTGRES_DSN": pooler.dsn(direct), "CLARION_POSTGRES_POOL_SIZE": "8"}
    settings["CLARION_POSTGRES_OWNER_DSN"] = as_role(direct, OWNER)
    if past:
        settings["CLARION_POSTGRES_DIRECT_DSN"] = direct
    with receiving() as receiver, watched(System(tmp_path, settings)) as system:
        tenant = new_tenant(operator_of(system))
        tenant.put("/v1/templates/note", {"channels": {"webhook": {"type": "note", "data": {"n": "{{ n }}"}}}})
        account = {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": SECRET}}
        tenant.put("/v1/providers/hooks", account)
        load = Load(tenant, receiver.url)
        list(load.send_for(2, 21))
        assert load.refused == {}
        assert len(load.accepted) > 20
        for id_ in load.accepted.values():
            assert [one["state"] for one in tenant.ended(id_, 30)["deliveries"]] == ["sent"]
        assert len(receiver.calls) == len(load.accepted)
