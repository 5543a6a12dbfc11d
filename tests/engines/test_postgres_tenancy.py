"""Row-level security on PostgreSQL: what each role sees and changes of which tenants, whatever a statement forgets."""

import asyncio

import asyncpg
import pytest

from clarion.domain.errors import DurabilityError, Overloaded, StoreUnavailable
from clarion.stores.postgres.migrate import upgrade
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import ALL_TENANTS, NO_TENANT, setting, within
from tests.engines.postgres import API, APPLICATION, OWNER, SUPERUSER, WORKER, as_role, database_of, engine
from tests.engines.tables import columns_of, fill, row_of, unprotected

pytestmark = pytest.mark.engines
SHARED = {
    "alembic_version": "the revision of the schema",
    "facts": "the seal that shows whether the master key is right",
    "fold_positions": "positions",
    "revisions": "one number",
    "inbox_epochs": "random bytes that name the store",
    "journal.meta": "the number of partitions",
    "journal.streams": "positions",
    "journal.frames": "frames mix tenants, so workers alone read them",
    "journal.commits": "positions",
    "journal.leases": "owners of partitions",
    "journal.timers": "frames that wait, which workers alone read",
    "journal.cells": "values of the planner, whose keys are hashes",
    "journal.intents": "entries of workers, which mix tenants",
    "journal.processes": "which builds are at work",
    "journal.writers": "numbers and offsets of commits",
    "presence_gateways": "which gateways are at work",
    "tenant_count": "one number",
    "persons": "people are of no tenant",
    "person_subjects": "people are of no tenant",
    "sessions": "sessions of people",
    "links": "links for people",
}
"""The tables that have no tenant, and why."""
UNREADABLE_BY_API = {"journal.intents", "journal.timers", "journal.cancellations"}
ODD = ["a,b", 'say "hi"', "back\\slash", "it's", "{x}", "NULL", "", "*", "ü'); DROP TABLE users; --"]


@pytest.fixture
async def admin(tmp_path):
    connection = await asyncpg.connect(as_role(database_of(tmp_path), SUPERUSER))
    yield connection
    await connection.close()


@pytest.fixture
async def opened(tmp_path):
    """Return a function that opens the test's database, with one connection, for a role."""
    databases = []

    def one(role=APPLICATION, **options):
        databases.append(Database(as_role(database_of(tmp_path), role), connections=1, **options))
        return databases[-1]

    yield one
    for database in databases:
        await database.close()


async def seen(database, tenants, table="users"):
    rows = await database.fetch(tenants, f"SELECT DISTINCT tenant FROM {table}")  # noqa: S608
    return {row[0] for row in rows}


class TestCatalogue:
    async def test_every_table_of_tenants_is_protected_and_all_others_are_listed(self, admin):
        assert await unprotected(admin) == []
        assert {table for table, kinds in (await columns_of(admin)).items() if "tenant" not in kinds} == set(SHARED)

    async def test_a_new_table_without_protection_is_found(self, admin):
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("CREATE TABLE a (tenant text); CREATE TABLE b (tenant text); CREATE TABLE c (tenant text)")
        await admin.execute("ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON a USING (true)")
        await admin.execute("ALTER TABLE b ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        assert await unprotected(admin) == ["a", "b", "c"]
        await admin.execute("DROP TABLE a, b; SELECT protect_rows('c')")
        assert await unprotected(admin) == []
        await transaction.rollback()

    async def test_no_role_of_a_process_is_the_owner_or_passes_by_the_policies(self, admin):
        roles = "SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) AND (rolsuper OR rolbypassrls OR rolcreaterole)"
        assert await admin.fetch(roles, [APPLICATION, API, WORKER, "clarion_api", "clarion_worker"]) == []
        assert {row[0] for row in await admin.fetch("SELECT DISTINCT tableowner FROM pg_tables")} == {SUPERUSER, OWNER}


class TestRoles:
    @pytest.mark.parametrize("role", [API, WORKER, APPLICATION, OWNER])
    async def test_a_role_sees_the_tenants_that_are_set_and_without_any_none(self, admin, opened, role):
        tables, database = await fill(admin, ["a", "b"]), opened(role)
        if role == API:
            tables -= UNREADABLE_BY_API
        for table in tables - {"tenant_revisions"}:
            assert await seen(database, "a", table) == {"a"}, table
            assert await seen(database, ["b", "c"], table) == {"b"}, table
            assert await seen(database, ["a", "b"], table) == {"a", "b"}, table
            assert await seen(database, NO_TENANT, table) == await seen(database, [], table) == set(), table

    async def test_only_a_worker_sees_all_tenants(self, admin, opened):
        tables = await fill(admin, ["a", "b"]) - UNREADABLE_BY_API - {"tenant_revisions"}
        worker, api = opened(WORKER), opened(API)
        for table in tables:
            assert await seen(worker, ALL_TENANTS, table) == {"a", "b"}, table
            assert await seen(api, ALL_TENANTS, table) == set(), table

    @pytest.mark.parametrize("role", [WORKER, APPLICATION, OWNER])
    async def test_a_role_changes_rows_of_the_tenants_that_are_set_alone(self, admin, opened, role):
        tables, database, kinds = await fill(admin, ["a", "b"]), opened(role), await columns_of(admin)
        for table in tables - {"tenant_revisions", "audit"}:
            for change in ("UPDATE {table} SET tenant = tenant WHERE {scope}", "DELETE FROM {table} WHERE {scope}"):
                call = within("a", change.replace("{table}", table))
                assert (await database.run(lambda db, c=call: db.execute(*c))).endswith(" 1"), call
            assert await seen(database, "b", table) == {"b"}
            names = ", ".join(f'"{name}"' for name in kinds[table])
            places = ", ".join(f"${number}" for number in range(1, len(kinds[table]) + 1))
            theirs = f"INSERT INTO {table} ({names}) SELECT {places} WHERE {{scope}}"
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                row = row_of(kinds[table], "b")
                await database.transact("a", lambda db, t=theirs, r=row: db.execute(t.replace("{scope}", "true"), *r))

    @pytest.mark.parametrize("role", [API, WORKER, APPLICATION])
    @pytest.mark.parametrize("change", ["UPDATE audit SET reason = ''", "DELETE FROM audit", "TRUNCATE audit"])
    async def test_no_role_of_a_process_changes_what_the_audit_has_recorded(self, admin, opened, role, change):
        await fill(admin, ["a"])
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await opened(role).transact("a", lambda db: db.execute(change))

    async def test_no_row_moves_to_another_tenant(self, admin, opened):
        await fill(admin, ["a", "b"])
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await opened().transact("a", lambda db: db.execute("UPDATE topics SET tenant = 'b'"))

    @pytest.mark.parametrize("table", ["journal.intents", "journal.timers", "fold_positions"])
    async def test_the_api_has_no_business_with_tables_of_workers(self, opened, table):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await opened(API).transact(NO_TENANT, lambda db: db.execute(f"DELETE FROM {table}"))  # noqa: S608

    async def test_the_api_appends_frames_but_reads_accepted_ones_alone(self, opened):
        append = "SELECT journal.append(ARRAY['accepted.bulk', 'outcomes'], ARRAY[0, 0], ARRAY[1, 1], ARRAY[$1::bytea, $1], 0)"
        read = "SELECT s.topic FROM journal.frames f JOIN journal.streams s USING (stream_id)"
        for role, topics in ((API, ["accepted.bulk"]), (WORKER, ["accepted.bulk", "outcomes"])):
            database = opened(role)
            await database.run(lambda db: db.execute(append, b"x"))
            assert sorted({row[0] for row in await database.fetch(NO_TENANT, read)}) == topics

    async def test_every_role_reads_across_tenants_through_functions_that_keep_the_setting(self, admin, opened):
        await fill(admin, ["a", "b"])
        database = opened(API)
        functions = (
            ("SELECT tenant FROM tenants_page('', 9)", {"a", "b"}),
            ("SELECT tenant FROM key_by_id('b')", set()),  # it was revoked
            ("SELECT zone FROM profiles_by_id(ARRAY(SELECT generate_series(1, 9)))", {"a", "b"}),
            ("SELECT tenant FROM journal.cursors_by_id(ARRAY['b'::bytea])", {"b"}),
        )
        for text, found in functions:
            assert {row[0] for row in await database.fetch(NO_TENANT, text)} == found, text

        async def both(db):
            await db.fetch("SELECT * FROM tenants_page('', 9)")
            return await db.fetch("SELECT tenant FROM users")

        assert await database.transact("a", both) == [("a",)]
        assert await database.transact(NO_TENANT, both) == []


class TestConnections:
    @pytest.mark.parametrize("through_pooler", [False, True])
    async def test_one_connection_with_alternating_tenants_leaks_no_row(self, admin, opened, through_pooler):
        await fill(admin, ["a", "b"])
        database = opened(through_pooler=through_pooler)
        found = await asyncio.gather(*(seen(database, "ab"[n % 2]) for n in range(60)))
        assert found == [{"a"}, {"b"}] * 30
        assert await seen(database, NO_TENANT) == set()

    @pytest.mark.parametrize("through_pooler", [False, True])
    async def test_a_statement_that_fails_midway_leaves_no_tenant_behind(self, admin, opened, through_pooler):
        await fill(admin, ["a", "b"])
        database = opened(through_pooler=through_pooler)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.fetch("a", "SELECT 1 / (length(tenant) - 1) FROM users")
        assert await seen(database, NO_TENANT) == set()

        async def broken(db):
            await db.execute("SELECT 1 / 0")

        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.transact("b", broken)
        assert await seen(database, NO_TENANT) == set()
        assert await seen(database, "a") == {"a"}

    async def test_a_statement_that_is_cancelled_leaves_no_tenant_behind(self, admin, opened):
        await fill(admin, ["a", "b"])
        database = opened()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await database.fetch("a", "SELECT pg_sleep(5) FROM users")
        assert await seen(database, NO_TENANT) == set()

        async def slow(db):
            async with asyncio.timeout(0.05):
                await db.execute("SELECT pg_sleep(5)")

        with pytest.raises((TimeoutError, DurabilityError, Overloaded)):
            await database.transact("b", slow)
        assert await seen(database, NO_TENANT) == set()
        assert await seen(database, "b") == {"b"}

    async def test_a_backend_that_is_ended_midway_leaves_no_tenant_behind(self, admin, opened):
        await fill(admin, ["a", "b"])
        database = opened()

        async def ended(db):
            await admin.execute("SELECT pg_terminate_backend($1)", db.get_server_pid())
            return await db.fetch("SELECT tenant FROM users")

        with pytest.raises((Overloaded, StoreUnavailable, DurabilityError)):
            await database.transact("b", ended)
        assert await seen(database, NO_TENANT) == set()

    async def test_the_setting_ends_with_its_transaction_on_the_server(self, opened):
        database, now = opened(), "SELECT current_setting('clarion.tenants', true)"
        assert await database.fetchval(["a", "b"], now) == setting(["a", "b"])
        assert not await database.fetchval(NO_TENANT, now)
        assert await database.transact("a", lambda db: db.fetchval(now)) == setting("a")
        assert not await database.fetchval(NO_TENANT, now)


class TestNames:
    @pytest.mark.parametrize("name", ODD)
    async def test_any_name_is_itself_and_nobody_else(self, admin, opened, name):
        await fill(admin, [name, "a", "b"])
        assert await seen(opened(), name) == {name}
        assert await opened().fetchval([name, "a"], "SELECT tenants_given()") == [name, "a"]
        found = await opened(WORKER).transact([name], lambda db: db.fetch("SELECT tenant FROM users"))
        assert found == [(name,)]


async def test_an_owner_without_the_right_to_create_roles_needs_them_made_before():
    dsn = engine().bare()
    admin = await asyncpg.connect(as_role(dsn, SUPERUSER))
    await admin.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN; GRANT clarion_worker TO plain")
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} OWNER TO plain")
    await admin.close()
    await upgrade(as_role(dsn, "plain"))
    database = Database(as_role(dsn, "plain"), connections=1)
    await database.transact("a", lambda db: db.execute("INSERT INTO topics VALUES ('a', 'k', 'n', 0)"))
    assert await seen(database, "a", "topics") == {"a"}
    assert await seen(database, NO_TENANT, "topics") == set()
    await database.close()
