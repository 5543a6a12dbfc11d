"""What a process says of a database that it cannot use: one sentence each, and nothing is made before."""

import asyncio
import os
import re
import subprocess
import sys

import asyncpg
import pytest

from clarion.app.config.loading import load
from clarion.app.processes.supervisor import PARENT_VARIABLE
from clarion.app.wiring import postgres_stores
from clarion.domain.errors import OperatorError, Overloaded
from clarion.outbound.secrets.master_key import FileVault
from clarion.runtime.clock import SystemClock
from clarion.stores.postgres import server_check
from clarion.stores.postgres.migrate import upgrade
from clarion_lab.machine.engines import postgres_folders
from tests.engines.postgres import (
    API,
    APPLICATION,
    OWNER,
    SUPERUSER,
    WORKER,
    Server,
    as_role,
    engine,
    in_thread,
)

pytestmark = pytest.mark.engines
OUTSIDER = "outsider"


@pytest.fixture
def bare():
    return engine().bare()


@pytest.fixture
def own():
    return engine().own()


def settings(folder, dsn, **more):
    return {"CLARION_DATA_DIR": str(folder / "data"), "CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN": dsn} | more


def prepare(folder, dsn, processes=4, **more):
    asyncio.run(postgres_stores.prepare(load(None, settings(folder, dsn, **more)), processes))


def clarion(folder, dsn, *words, **more):
    """Run a command; return its exit code and what it said on standard error."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    done = subprocess.run(
        [sys.executable, "-m", "clarion", *words],
        env=inherited | settings(folder, dsn, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.strip(), done.stdout.strip()


async def execute(dsn, *statements):
    connection = await asyncpg.connect(dsn)
    for one in statements:
        await connection.execute(one)
    await connection.close()


def refusal(folder, dsn, **more):
    """Return the sentence by which `prepare` refuses a database."""
    with pytest.raises(OperatorError) as refused:
        prepare(folder, dsn, **more)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert not re.search(r"\. [A-Z]", sentence)
    assert not (folder / "data").exists()
    return sentence


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("", "set postgres.dsn"),
        ("mysql://root@localhost/x", "has to begin with postgresql://"),
        ("postgresql://clarion@/x?host=/tmp&search_path=other", "there is no parameter 'search_path'"),
        ("postgresql://clarion@/x?nonsense", "is no address of a database"),
        ("postgresql://clarion@/x?host=/tmp&sslmode=sometimes", "cannot be understood"),
        ("postgresql://clarion:hunter2@127.0.0.1:hunter2/x", "cannot be understood"),
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path, dsn, words):
    sentence = refusal(tmp_path, dsn)
    assert words in sentence
    assert "hunter2" not in sentence


def test_a_server_that_is_not_there_is_refused(tmp_path):
    assert "PostgreSQL cannot be reached" in refusal(tmp_path, f"postgresql://c:hunter2@/x?host={tmp_path}")


def test_a_database_that_is_not_there_is_refused(tmp_path, bare):
    assert 'has no database of the name in postgres.dsn; create it: database "nope"' in refusal(
        tmp_path, engine().server.dsn("nope")
    )


def test_a_wrong_password_is_refused_and_not_shown(tmp_path, bare):
    admin = as_role(bare, SUPERUSER)
    in_thread(execute(admin, "DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 'right'"))
    rules = engine().server.home / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    in_thread(execute(admin, "SELECT pg_reload_conf()"))
    try:
        sentence = refusal(tmp_path, as_role(bare, "guarded:hunter2"))
    finally:
        rules.write_text(before)
    assert sentence.startswith("PostgreSQL refuses the user of postgres.dsn")
    assert "hunter2" not in sentence


def test_missing_rights_are_named(tmp_path, bare):
    in_thread(execute(bare, "DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN"))
    assert "permission denied" in refusal(tmp_path, as_role(bare, "weak"))


def test_the_owner_migrates_and_processes_log_in_as_others(tmp_path, bare):
    with pytest.raises(OperatorError, match=r"owner_dsn: has to begin with postgresql://"):
        prepare(tmp_path, bare, CLARION_POSTGRES_OWNER_DSN="mysql://x@y/z")
    with pytest.raises(OperatorError, match=r"no database of the name in postgres\.owner_dsn"):
        prepare(tmp_path, bare, CLARION_POSTGRES_OWNER_DSN=engine().server.dsn("nope", OWNER))
    application = as_role(bare, APPLICATION)
    with pytest.raises(OperatorError, match="cannot be migrated: permission denied"):
        prepare(tmp_path, application)
    prepare(tmp_path, application, CLARION_POSTGRES_OWNER_DSN=bare)
    prepare(tmp_path, application)  # up to date: no rights of the owner are needed


class Lines:
    """Log lines of a process."""

    def __init__(self):
        self.events = []

    def log(self, level, event, **fields):
        self.events.append(event)


def opened(folder, dsn, role):
    """Open the stores of a process, close them, and return what it logged."""

    async def work():
        config, lines = load(None, settings(folder, dsn)), Lines()
        vault = FileVault.load(config.data_dir)
        stores = await postgres_stores.on_server(config, SystemClock(), vault, lines, role)
        await stores.close()
        return lines.events

    return asyncio.run(work())


@pytest.mark.parametrize(("user", "role", "group"), [(API, "worker-0", "worker"), (OUTSIDER, "api", "api")])
def test_a_user_without_the_rights_of_its_role_is_refused(tmp_path, own, user, role, group):
    prepare(tmp_path, own)
    statements = f"DROP ROLE IF EXISTS {OUTSIDER}", f"CREATE ROLE {OUTSIDER} LOGIN"
    in_thread(execute(as_role(own, SUPERUSER), *statements))
    with pytest.raises(OperatorError, match=f"postgres.dsn lacks rights: it is not a member of clarion_{group}"):
        opened(tmp_path, as_role(own, user), role)


def test_a_superuser_is_warned_that_the_database_does_not_keep_tenants_apart(tmp_path, own):
    prepare(tmp_path, own)
    for user, role in ((API, "api"), (WORKER, "api"), (WORKER, "worker-0"), (APPLICATION, "all-in-one")):
        assert opened(tmp_path, as_role(own, user), role) == []
    assert opened(tmp_path, as_role(own, SUPERUSER), "api") == ["tenants_not_kept_apart_by_database"]


def test_a_server_that_is_too_old_is_refused(tmp_path, bare, monkeypatch):
    monkeypatch.setattr(server_check, "VERSION_MIN", 990_000)
    assert "is too old" in refusal(tmp_path, bare)


def test_a_server_that_takes_no_writes_is_refused(tmp_path, bare):
    name = bare.partition("/@")[0].rpartition("@/")[2].partition("?")[0]
    in_thread(execute(bare, f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    assert "takes no writes" in refusal(tmp_path, bare)


def test_too_few_connections_are_refused_before_they_are_missed(tmp_path, own):
    sentence = refusal(tmp_path, own, processes=23)
    assert "takes 197 connections, and 207 may be needed here" in sentence
    assert "no connection left" in str(server_check.refusal(asyncpg.TooManyConnectionsError("too many"), own))


def test_a_schema_of_a_newer_build_is_refused(tmp_path, own):
    in_thread(execute(as_role(own, SUPERUSER), "UPDATE alembic_version SET version_num = 'postgres_9999'"))
    assert "written by a newer build of Clarion" in refusal(tmp_path, own)


def test_a_second_machine_needs_the_keys_of_the_first(tmp_path, own):
    first, second = tmp_path / "first", tmp_path / "second"
    prepare(first, own)
    sentence = refusal(second, own)
    assert "does not have the master_key of the installation" in sentence
    (second / "data").mkdir(parents=True)
    for key in ("master.key", "operator.key"):
        (second / "data" / key).write_text((first / "data" / key).read_text())
        (second / "data" / key).chmod(0o600)
    prepare(second, own)


def test_another_master_key_is_refused(tmp_path, own):
    prepare(tmp_path, own)
    other = {"CLARION_MASTER_KEY": "A" * 43 + "=", "CLARION_OPERATOR_KEY": "k" * 40}
    with pytest.raises(OperatorError, match="master key of this machine is not that of the installation"):
        prepare(tmp_path, own, **other)


def test_another_operator_key_is_refused_until_it_is_taken(tmp_path, own):
    prepare(tmp_path, own)
    other = {"CLARION_OPERATOR_KEY": "k" * 40}
    with pytest.raises(OperatorError, match="operator key of this machine is not that of the installation"):
        prepare(tmp_path, own, **other)
    code, said, _ = clarion(tmp_path, own, "api", **other)
    assert (code, said.partition(" is not")[0]) == (2, "clarion: The operator key of this machine")
    code, said, _ = clarion(tmp_path, own, "init", "--new-operator-key", **other)
    assert (code, said) == (0, "")
    prepare(tmp_path, own, **other)
    with pytest.raises(OperatorError, match="run clarion init --new-operator-key here first"):
        prepare(tmp_path, own)


def test_a_key_that_was_rotated_here_becomes_that_of_the_installation(tmp_path, own):
    prepare(tmp_path, own)
    before = (tmp_path / "data" / "operator.key").read_text()
    assert clarion(tmp_path, own, "operator", "rotate-key")[0] == 0
    prepare(tmp_path, own)
    second = {"CLARION_OPERATOR_KEY": before.strip()}
    with pytest.raises(OperatorError, match="operator key of this machine is not that of the installation"):
        prepare(tmp_path, own, **second)


def test_a_supervised_process_ends_so_that_it_is_started_again(tmp_path, monkeypatch):
    monkeypatch.setenv(PARENT_VARIABLE, "1")
    with pytest.raises(Overloaded, match="PostgreSQL cannot be reached"):
        prepare(tmp_path, f"postgresql://c@/x?host={tmp_path}")


@pytest.mark.slow
@pytest.mark.parametrize("role", ["api", "worker", "scheduler"])
def test_roles_alone_refuse_a_schema_that_is_not_theirs_and_name_the_command(tmp_path, bare, role):
    keys = {"CLARION_MASTER_KEY": "A" * 43 + "=", "CLARION_OPERATOR_KEY": "k" * 40}
    code, said, _ = clarion(tmp_path, bare, role, **keys)
    assert (code, said) == (2, "clarion: The PostgreSQL database has no schema yet: run 'clarion migrate'.")
    in_thread(upgrade(bare))
    in_thread(execute(bare, "UPDATE alembic_version SET version_num = 'postgres_9999'"))
    code, said, _ = clarion(tmp_path, bare, role, **keys)
    assert (code, said.count("\n")) == (2, 0)
    assert "written by a newer build of Clarion" in said


@pytest.mark.slow
def test_migrate_checks_without_a_change_and_migrates(tmp_path, bare):
    assert clarion(tmp_path, bare, "migrate", "--check")[0] == 1
    assert clarion(tmp_path, bare, "migrate", "--check")[2].startswith("The PostgreSQL database has no schema yet")
    assert clarion(tmp_path, bare, "migrate")[0] == 0
    assert clarion(tmp_path, bare, "migrate", "--check") == (0, "", "The schema is up to date.")


@pytest.mark.slow
def test_a_role_without_the_keys_of_the_installation_makes_none(tmp_path, own):
    for role, key in (("api", "master_key"), ("worker", "master_key")):
        code, said, _ = clarion(tmp_path, own, role)
        assert (code, said.count("\n")) == (2, 0)
        assert key in said
    assert not list(tmp_path.rglob("*.key"))


@pytest.mark.slow
def test_unknown_stages_and_channels_are_refused_by_name(tmp_path, own):
    assert "There is no stage 'fly'" in clarion(tmp_path, own, "worker", "--stages", "plan,fly")[1]
    assert "There is no channel 'fax'" in clarion(tmp_path, own, "worker", "--channels", "sms,fax")[1]


@pytest.mark.slow
def test_up_ends_with_one_sentence_when_the_server_is_not_there(tmp_path):
    code, said, _ = clarion(tmp_path, f"postgresql://c:hunter2@/x?host={tmp_path}", "up")
    assert (code, said.count("\n")) == (2, 0)
    assert said.startswith("clarion: PostgreSQL cannot be reached")
    assert "hunter2" not in said


@pytest.mark.slow
def test_a_standby_is_refused(tmp_path):
    folder = postgres_folders()[0]
    primary = Server(folder, wal_level="replica", max_wal_senders="4")
    try:
        primary.wait()
        standby = Server(folder, primary, wal_level="replica", max_wal_senders="4")
        try:
            standby.wait()
            assert "standby that takes no writes" in refusal(tmp_path, standby.dsn("postgres", SUPERUSER))
            both = standby.dsn("postgres", SUPERUSER).replace(
                f"host={standby.home}", f"host={standby.home},{primary.home}"
            )
            prepare(tmp_path, f"{both}&target_session_attrs=read-write")
        finally:
            standby.stop()
    finally:
        primary.stop()
