"""Another number of partitions while processes share one database: who changes it, and what everybody else is told."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time

import asyncpg
import pytest

from clarion.domain.errors import DurabilityError, OperatorError
from clarion.domain.limits_postgres import POSTGRES_QUIET_S
from clarion.plan.placement import Regrouping
from clarion.runtime.clock import SystemClock
from clarion.stores.postgres import journal_regroup
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.migrate import upgrade
from clarion.stores.postgres.pool import Database
from clarion_lab.machine.ports import free_port
from tests.contract.journals import frames
from tests.engines.postgres import SUPERUSER, as_role, engine, in_thread

pytestmark = [pytest.mark.engines, pytest.mark.enable_socket]
KEYS = {"CLARION_MASTER_KEY": "A" * 43 + "=", "CLARION_OPERATOR_KEY": "k" * 40}
LEASE_S = 3


class Machine:
    """A machine of an installation: a data directory, and the processes that run there."""

    def __init__(self, folder, dsn):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
        own = {"CLARION_DATA_DIR": str(folder), "CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN": dsn}
        port = {"CLARION_API_PORT": str(free_port()), "CLARION_LEASE_TTL_MS": str(LEASE_S * 1000)}
        self.dsn = dsn
        self._env = inherited | own | KEYS | port
        self._folder = folder
        self._running = []

    def begin(self, *words, partitions=0):
        """Start a command."""
        env = self._env | {"CLARION_JOURNAL_PARTITIONS": str(partitions)}
        command = [sys.executable, "-m", "clarion", *words]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._running.append(
            subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return self._running[-1]

    def run(self, *words, partitions=0):
        """Run a command to its end; return its exit code and its last line on standard error."""
        process = self.begin(*words, partitions=partitions)
        _, said = process.communicate(timeout=60)
        return process.returncode, said.strip().rpartition("\n")[2]

    def kill(self):
        """Kill what runs."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()
        self._running.clear()


@pytest.fixture
def machine(tmp_path):
    """Return a function that gives a machine of an installation in a new database."""
    dsn = engine().bare()
    machines = []

    def one(name="one", dsn=dsn):
        machines.append(Machine(tmp_path / name, dsn))
        return machines[-1]

    yield one
    for each in machines:
        each.kill()


def ask(machine, statement):
    async def asked():
        connection = await asyncpg.connect(machine.dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return in_thread(asked())


def partitions(machine):
    return ask(machine, "SELECT value FROM journal.meta WHERE name = 'partitions'")


def until(machine, statement):
    """Wait until a statement returns something true."""
    end = time.monotonic() + 30
    while not ask(machine, statement):
        assert time.monotonic() < end, statement
        time.sleep(0.1)


def ready(machine, role):
    until(machine, f"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'clarion-{role}'")  # noqa: S608


def new(machine, count):
    """Make an installation with a number of partitions."""
    assert machine.run("init", partitions=count)[0] == 0

    async def fix():
        database = Database(machine.dsn)
        await start(database, count)
        await database.close()

    in_thread(fix())
    assert partitions(machine) == count


def plain_owner():
    """Return the address of a new database whose owner may do nothing else."""
    dsn = engine().bare()
    name = dsn.partition("@/")[2].partition("?")[0]

    async def give():
        admin = await asyncpg.connect(as_role(dsn, SUPERUSER))
        await admin.execute(f"CREATE ROLE owner_{name} LOGIN IN ROLE clarion_worker")
        await admin.execute(f"ALTER DATABASE {name} OWNER TO owner_{name}")
        await admin.close()

    in_thread(give())
    return as_role(dsn, f"owner_{name}")


@pytest.mark.slow
def test_a_live_worker_refuses_the_change_and_an_old_setting_is_refused_after_it(machine):
    dsn = plain_owner()
    one, two = machine("one", dsn), machine("two", dsn)
    new(one, 4)
    worker = two.begin("worker", "--stages", "plan", partitions=4)
    until(one, "SELECT count(*) = 8 FROM journal.leases")
    code, said = one.run("init", partitions=8)
    assert code == 2
    assert said.startswith("clarion: The number of partitions cannot change while worker-0-")
    assert "stop every process of the installation" in said
    assert worker.poll() is None
    assert partitions(one) == 4
    for role in ("api", "worker", "scheduler"):
        code, said = one.run(role, partitions=8)
        assert code == 2
        assert said.startswith("clarion: The journal has 4 partitions, and journal.partitions is 8: to change it, stop")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert one.run("init", partitions=8)[0] == 0
    assert partitions(one) == 8
    code, said = two.run("worker", partitions=4)
    assert code == 2
    assert said.startswith("clarion: The journal has 8 partitions, and journal.partitions is 4: to change it, stop")
    two.begin("worker", "--stages", "plan")
    until(one, "SELECT count(*) = 16 FROM journal.leases WHERE expires_ms > journal.lease_time(NULL)")


@pytest.mark.slow
def test_an_idle_process_without_leases_is_at_work_too(machine):
    one, two = machine("one"), machine("two")
    new(one, 4)
    api = two.begin("api")
    ready(one, "api")
    time.sleep(POSTGRES_QUIET_S + 2)
    code, said = one.run("init", partitions=8)
    assert (code, partitions(one)) == (2, 4)
    assert said.startswith("clarion: The number of partitions cannot change while clarion-api works")
    api.send_signal(signal.SIGTERM)
    assert api.wait(30) == 0
    assert one.run("init", partitions=8)[0] == 0
    assert partitions(one) == 8


@pytest.mark.slow
def test_after_a_crash_the_change_is_refused_until_the_leases_run_out(machine):
    one, two = machine("one"), machine("two")
    new(one, 4)
    two.begin("worker", "--stages", "plan")
    until(one, "SELECT count(*) = 8 FROM journal.leases")
    two.kill()
    until(one, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'clarion-worker%'")
    code, said = one.run("init", partitions=8)
    assert (code, partitions(one)) == (2, 4)
    assert "after a crash leases run out by themselves" in said
    until(one, "SELECT count(*) = 0 FROM journal.leases WHERE expires_ms > journal.lease_time(NULL)")
    assert one.run("init", partitions=8)[0] == 0
    assert partitions(one) == 8


@pytest.mark.slow
def test_of_machines_that_start_together_one_changes_the_number(machine):
    machines = [machine(name) for name in ("one", "two", "three")]
    new(machines[0], 4)
    begun = [each.begin("init", partitions=16) for each in machines]
    said = [process.communicate(timeout=60)[1] for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], said
    assert sum(text.count("partitions_changed") for text in said) <= 1
    assert partitions(machines[0]) == 16


async def test_a_process_that_was_overlooked_commits_nothing_afterwards():
    """Sessions of the same name are not seen, as those behind a pooler of another name would not be."""
    dsn = engine().own()
    journals = []
    for _ in range(3):
        database = Database(dsn, role="partitions")
        journals.append(PostgresJournal(database, SystemClock(), await start(database, 4)))
    worked, silent, changes = journals
    await worked.commit(frames(b"before"))
    await changes.regroup(Regrouping(4, 8), {})
    for overlooked in (worked, silent):
        with pytest.raises(DurabilityError, match="number of partitions of the journal was changed"):
            await overlooked.commit(frames(b"after"))
    assert (await changes.commit(frames(b"after"))).offsets
    await asyncio.gather(*(journal.close() for journal in journals))


async def test_an_idle_session_whose_user_hides_it_counts_as_a_process(monkeypatch):
    monkeypatch.setattr(journal_regroup, "POSTGRES_QUIET_S", 0)
    dsn = plain_owner()
    await upgrade(dsn)
    database = Database(dsn, role="partitions")
    journal = PostgresJournal(database, SystemClock(), await start(database, 4))
    named = {"application_name": "clarion-api"}
    own = await asyncpg.connect(dsn, server_settings=named)
    await journal.check_alone()
    hidden = await asyncpg.connect(as_role(dsn, SUPERUSER), server_settings=named)
    with pytest.raises(OperatorError, match="while clarion-api works"):
        await journal.check_alone()
    await own.close()
    await hidden.close()
    await journal.check_alone()
    await journal.close()


async def test_processes_that_start_a_new_journal_together_have_one_number():
    database = Database(engine().own())
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO journal.meta (name, value) VALUES ('partitions', 2)")
        starting = asyncio.create_task(start(database, 4))
        await asyncio.sleep(0.3)
        assert not starting.done()
    assert (await starting).partitions == 2
    await database.close()


async def test_a_process_that_starts_during_a_change_learns_the_new_number():
    dsn = engine().own()
    database = Database(dsn)
    await start(database, 4)
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE journal.writers IN EXCLUSIVE MODE")
        await connection.execute("UPDATE journal.meta SET value = 8 WHERE name = 'partitions'")
        starting = asyncio.create_task(start(database, 4))
        await asyncio.sleep(0.3)
        assert not starting.done()
    assert (await starting).partitions == 8
    await database.close()
