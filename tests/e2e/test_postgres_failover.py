"""The primary of a PostgreSQL pair dies under load and its standby takes over: with synchronous replication nothing that was
acknowledged is missing; with asynchronous replication exactly what was not replicated is, and everything goes on."""

import asyncio
from collections import Counter

import asyncpg
import pytest

from clarion_lab.chaos.postgres import NAME
from clarion_lab.chaos.standby import FailoverEngine
from clarion_lab.load.programs import System
from clarion_lab.servers.postgres import SUPERUSER, in_thread
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, until
from tests.e2e.receiver import receiving
from tests.e2e.test_postgres_outage import SECRET, SETTINGS, Load
from tests.engines.postgres import engine

pytestmark = [pytest.mark.processes, pytest.mark.engines]


@pytest.fixture
def pair():
    engine()  # where no server can be started, the test is skipped
    started = FailoverEngine()
    yield started
    started.stop(None)


@pytest.fixture
def receiver():
    with receiving() as started:
        yield started


@pytest.fixture
def system(tmp_path, pair):
    with watched(System(tmp_path, {**QUICK, **SETTINGS, **pair.environment})) as started:
        yield started


@pytest.fixture
def tenant(system):
    return new_tenant(operator_of(system))


@pytest.fixture
def load(tenant, receiver):
    tenant.put("/v1/templates/note", {"channels": {"webhook": {"type": "note", "data": {"n": "{{ n }}"}}}})
    account = {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": SECRET}}
    tenant.put("/v1/providers/hooks", account)
    return Load(tenant, receiver.url)


async def on(server, *statements):
    admin = await asyncpg.connect(server.dsn(NAME, SUPERUSER))
    try:
        for statement in statements:
            await admin.execute(statement)
    finally:
        await admin.close()


def ended(tenant, ids):
    return [[one["state"] for one in tenant.ended(id_, 60)["deliveries"]] for id_ in ids]


def back(load):
    until(lambda: (answer := load.send()) is not None and answer.status == 202, "requests are accepted again", 30)


def calls(receiver):
    return Counter(int(call.path.rpartition("/")[2]) for call in receiver.calls)


def unexplained(tenant, receiver, accepted):
    """Return the numbers that were called more often than attempts whose outcome was not stored can explain."""
    times = calls(receiver)
    return {n: times[n] for n, id_ in accepted.items() if not 1 <= times[n] <= 1 + unsure(tenant.seen(id_))}


def unsure(notification):
    attempts = [one for delivery in notification["deliveries"] for one in delivery["attempts"]]
    return sum(one["repeated"] + (one["outcome"] == "ambiguous") for one in attempts)


def test_a_synchronous_standby_has_all_that_was_acknowledged(pair, system, tenant, load, receiver):
    list(load.send_for(2, 40))
    assert pair.strike("primary", 0)
    back(load)
    list(load.send_for(1, 20))
    assert len(load.accepted) > 50
    assert ended(tenant, load.accepted.values()) == [["sent"]] * len(load.accepted)
    assert unexplained(tenant, receiver, load.accepted) == {}


@pytest.mark.waits
def test_without_synchronous_replication_what_was_not_replicated_is_gone_and_all_goes_on(
    pair, system, tenant, load, receiver
):
    list(load.send_for(2))
    replicated = dict(load.accepted)
    assert ended(tenant, replicated.values()) == [["sent"]] * len(replicated)
    primary, standby = pair.server, pair.standby
    in_thread(on(primary, "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"))
    in_thread(on(standby, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"))
    until(lambda: not in_thread(replicas(primary)), "nothing is replicated", 10)
    list(load.send_for(1, 21))
    gone = {number: id_ for number, id_ in load.accepted.items() if number not in replicated}
    assert len(gone) > 20
    pair.strike("primary", 0)
    back(load)
    last = len(load.accepted)
    list(load.send_for(1))
    kept = {number: id_ for number, id_ in load.accepted.items() if number not in gone}
    assert len(load.accepted) > last
    assert ended(tenant, kept.values()) == [["sent"]] * len(kept)
    found = Counter(tenant.call("GET", f"/v1/notifications/{id_}").status for id_ in gone.values())
    assert found == {404: len(gone)}
    assert unexplained(tenant, receiver, kept) == {}


async def replicas(server):
    admin = await asyncpg.connect(server.dsn(NAME, SUPERUSER))
    try:
        await asyncio.sleep(0.1)
        return await admin.fetchval("SELECT count(*) FROM pg_stat_replication")
    finally:
        await admin.close()
