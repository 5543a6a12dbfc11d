"""Partitions of history on PostgreSQL: made ahead, filled, and dropped whole."""

import asyncio
import subprocess
import time

import asyncpg
import pytest

from clarion.domain.delivery_state import State
from clarion.domain.errors import AlreadyStored, Overloaded
from clarion.domain.history import Changes, Delivery
from clarion.domain.limits_postgres import POSTGRES_PERIODS_AHEAD
from clarion.stores.postgres.migrate import upgrade
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.state import PostgresState
from clarion.stores.postgres.tenancy import NO_TENANT
from clarion_lab.machine.engines import postgres_folders
from tests.engines.postgres import API, OWNER, SUPERUSER, as_role, database_of, engine
from tests.engines.tables import fill

pytestmark = pytest.mark.engines
DAY_MS = 24 * 3600 * 1000
PERIOD_MS = 30 * DAY_MS
TABLES = 19
PARTS = r"""SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind = 'r' AND c.relname ~ '^deliveries_[0-9]+$'
    ORDER BY 1"""


def now_ms():
    return int(time.time() * 1000)


def id_at(at_ms, number=0):
    return at_ms.to_bytes(6, "big") + number.to_bytes(18, "big")


def delivery(id_, tenant="a", state=State.SENT):
    return Delivery(id_, tenant, "u", "email", "u@x.test", state, planned_ms=1)


def changes(*ids, new=True):
    return Changes(new=set(ids) if new else set(), deliveries={id_: delivery(id_) for id_ in ids})


@pytest.fixture
async def admin(tmp_path):
    connection = await asyncpg.connect(as_role(database_of(tmp_path), SUPERUSER))
    yield connection
    await connection.execute("TRUNCATE deliveries")  # other tests use the database after this one
    await connection.fetch("SELECT history_drop($1, 1), history_make($2)", now_ms(), POSTGRES_PERIODS_AHEAD)
    await connection.close()


@pytest.fixture
async def database(tmp_path):
    database = Database(database_of(tmp_path), connections=2)
    yield database
    await database.close()


@pytest.fixture
def state(database):
    return PostgresState(database)


async def parts_of(admin, id_):
    return await admin.fetchval("SELECT tableoid::regclass::text FROM deliveries WHERE id = $1", id_)


async def period(admin, start_ms, table="deliveries"):
    """Make the partition of a past period, as time made it."""
    name = f"{table}_{time.strftime('%Y%m%d', time.gmtime(start_ms // 1000))}"
    await admin.execute(
        f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM (history_edge({start_ms}))"
        f" TO (history_edge({start_ms + PERIOD_MS}))"
    )
    return name


class TestMaking:
    async def test_the_present_period_and_the_next_ones_are_made_by_the_migration_and_by_upkeep(self, admin, state):
        assert len(await admin.fetch(PARTS)) == POSTGRES_PERIODS_AHEAD + 1
        await admin.execute("DROP TABLE " + ", ".join(row[0] for row in (await admin.fetch(PARTS))[1:]))
        await state.ledger.prune_captures(0, 10)
        assert len(await admin.fetch(PARTS)) == POSTGRES_PERIODS_AHEAD + 1
        assert await admin.fetchval("SELECT history_make($1)", POSTGRES_PERIODS_AHEAD) == 0

    async def test_partitions_are_as_the_first_one(self, admin):
        shapes = """SELECT t.name, count(DISTINCT (c.reloptions, c.relhasindex,
                (SELECT array_agg(regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX \\S+ ON \\S+', '') ORDER BY 1)
                    FROM pg_index i WHERE i.indrelid = c.oid)))
            FROM history_tables() t JOIN pg_inherits i ON i.inhparent = t.name::regclass
            JOIN pg_class c ON c.oid = i.inhrelid GROUP BY 1"""
        assert {row[1] for row in await admin.fetch(shapes)} == {1}
        assert len(await admin.fetch(shapes)) == TABLES

    async def test_a_period_that_has_rows_already_gets_no_partition(self, admin, state):
        for part in reversed(await admin.fetch(PARTS)):
            await admin.execute(f"DROP TABLE {part[0]}")
        own = id_at(now_ms())
        await state.ledger.apply(changes(own), [])
        await state.ledger.prune_captures(0, 10)
        assert len(await admin.fetch(PARTS)) == POSTGRES_PERIODS_AHEAD
        assert await parts_of(admin, own) == "deliveries_other"
        assert set(await state.history.deliveries("a", [own])) == {own}

    async def test_many_may_make_them_at_once(self, admin, tmp_path):
        await admin.execute("DROP TABLE " + ", ".join(row[0] for row in await admin.fetch(PARTS)))
        states = [PostgresState(Database(database_of(tmp_path))) for _ in range(4)]
        await asyncio.gather(*(state.ledger.prune_captures(0, 10) for state in states))
        assert len(await admin.fetch(PARTS)) == POSTGRES_PERIODS_AHEAD + 1
        for state in states:
            await state.ledger._database.close()

    async def test_what_cannot_be_made_now_is_made_later(self, admin, state, tmp_path):
        other = await asyncpg.connect(as_role(database_of(tmp_path), SUPERUSER))
        await admin.execute("DROP TABLE " + (await admin.fetch(PARTS))[-1][0])
        async with other.transaction():
            await other.execute("LOCK TABLE deliveries_other IN ACCESS SHARE MODE")
            await state.ledger.prune_captures(0, 10)
            assert len(await admin.fetch(PARTS)) == POSTGRES_PERIODS_AHEAD
        await other.close()
        await state.ledger.prune_captures(0, 10)
        assert len(await admin.fetch(PARTS)) == POSTGRES_PERIODS_AHEAD + 1


class TestRows:
    async def test_rows_go_to_the_partition_of_their_time(self, admin, state):
        ids = [id_at(now_ms()), id_at(now_ms() + PERIOD_MS), id_at(1_700_000_000_000)]
        await state.ledger.apply(changes(*ids), [])
        parts = [row[0] for row in await admin.fetch(PARTS)]
        assert [await parts_of(admin, id_) for id_ in ids] == [*parts[:2], "deliveries_other"]
        found, _ = await state.ledger.load(ids, [])
        assert set(found) == set(ids) == set(await state.history.deliveries("a", ids))
        assert await state.ledger.states(ids) == dict.fromkeys(ids, (State.SENT, 0))

    @pytest.mark.parametrize("at_ms", [now_ms(), 1_700_000_000_000], ids=["now", "earlier"])
    async def test_a_row_assumed_to_be_new_is_refused_in_every_partition(self, state, at_ms):
        own = id_at(at_ms)
        await state.ledger.apply(changes(own), [])
        with pytest.raises(AlreadyStored):
            await state.ledger.apply(changes(own), [])
        await state.ledger.apply(changes(own, new=False), [])

    async def test_no_role_reads_a_partition_past_the_policies_of_its_table(self, admin, tmp_path):
        partitions = "SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'"
        names = [row[0] for row in await admin.fetch(partitions)]
        assert len(names) == TABLES * (POSTGRES_PERIODS_AHEAD + 2)
        connection = await asyncpg.connect(database_of(tmp_path))
        for name in names:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT FROM {name}")
        await connection.close()

    async def test_a_look_by_ids_is_planned_for_their_period_alone(self, admin, tmp_path):
        connection = await asyncpg.connect(database_of(tmp_path))
        text = "SELECT id FROM unnest($1::bytea[]) w, LATERAL (SELECT id FROM deliveries d WHERE d.id = w AND id BETWEEN $2 AND $3 OFFSET 0) d"
        own = id_at(now_ms())
        plan = " ".join(row[0] for row in await connection.fetch(f"EXPLAIN {text}", [own], own, own))
        assert plan.count(" Scan on deliveries") + plan.count(" on deliveries_") == 1, plan
        await connection.close()


class TestDropping:
    async def test_periods_that_ended_are_dropped_whole(self, admin, state):
        start = (now_ms() // PERIOD_MS - 3) * PERIOD_MS
        names = [await period(admin, start), await period(admin, start + PERIOD_MS)]
        ids = [id_at(start + 5), id_at(start + PERIOD_MS - 1), id_at(start + PERIOD_MS), id_at(now_ms())]
        await state.ledger.apply(changes(*ids), [])
        assert await state.ledger.drop_history(start + PERIOD_MS + DAY_MS) == 0
        assert set(await state.history.deliveries("a", ids)) == set(ids[2:])
        assert names[0] not in (left := {row[0] for row in await admin.fetch(PARTS)})
        assert names[1] in left

    async def test_rows_in_no_period_are_deleted_in_bounded_parts(self, admin, state, monkeypatch):
        monkeypatch.setattr("clarion.stores.postgres.state_fold.TRIM_ROWS_PER_COMMIT_MAX", 3)
        ids = [id_at(1_600_000_000_000, number) for number in range(10)]
        kept = [id_at(1_700_000_000_000), id_at(now_ms())]
        await state.ledger.apply(changes(*ids, *kept), [])
        await fill(admin, ["b"])  # ids of other tenants, which begin with letters: the far future
        assert await state.ledger.drop_history(1_650_000_000_000) == 10
        assert set(await state.history.deliveries("a", [*ids, *kept])) == set(kept)

    async def test_nothing_is_dropped_while_a_statement_uses_it_for_long(self, admin, state, tmp_path):
        name = await period(admin, (now_ms() // PERIOD_MS - 3) * PERIOD_MS)
        other = await asyncpg.connect(as_role(database_of(tmp_path), SUPERUSER))
        async with other.transaction():
            await other.execute(f"SELECT FROM {name}")
            with pytest.raises(Overloaded, match="lock timeout"):
                await state.ledger.drop_history(now_ms())
        await other.close()
        await state.ledger.drop_history(now_ms())
        assert name not in {row[0] for row in await admin.fetch(PARTS)}

    async def test_the_api_cannot_drop_history(self, tmp_path):
        database = Database(as_role(database_of(tmp_path), API))
        for call in ("history_drop(1, 1)", "history_make(1)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.fetch(NO_TENANT, f"SELECT {call}")
        await database.close()

    @pytest.mark.slow
    async def test_a_period_of_a_million_rows_is_dropped_in_less_than_a_second(self, admin, state):
        start = (now_ms() // PERIOD_MS - 3) * PERIOD_MS
        await period(admin, start)
        await admin.execute(
            """INSERT INTO deliveries SELECT history_edge($1 + n) || int8send(n) || int8send(n) || '\\x0000', 'a', 'u', 'email',
            'u@x.test', 3, 0, '', 1, 0, 'p', 'smtp', '', 1, 1, 1, NULL, 1, 1, NULL, 0, '', 1, NULL
            FROM generate_series(1::bigint, 1000000) n""",
            start,
        )
        assert await admin.fetchval("SELECT count(*) FROM deliveries") == 1_000_000
        began = time.monotonic()
        await state.ledger.drop_history(now_ms())
        assert time.monotonic() - began < 1
        assert await admin.fetchval("SELECT count(*) FROM deliveries") == 0


class TestSchema:
    @pytest.mark.parametrize("revision", ["postgres_0001", "postgres_0002"])
    async def test_an_upgrade_leads_to_the_schema_of_a_new_database_and_keeps_rows(self, revision):
        fresh, older = engine().bare(), engine().bare()
        await upgrade(fresh)
        await upgrade(older, revision)
        connection = await asyncpg.connect(as_role(older, SUPERUSER))
        digest = "sha256('facts')"
        insert = """INSERT INTO deliveries SELECT $1, $2, 'u', 'email', '', 3, 0, '', 1, 0, '', '', '', 1, 1, 1, NULL, 1, 1, NULL, 0,
            '', 1, sha256('facts')"""
        for tenant in ("a", "b"):
            await connection.execute(insert, id_at(1_600_000_000_000, ord(tenant)), tenant)
        own = "'\\x00'" if revision == "postgres_0001" else "'\\x00', 'a'"
        await connection.execute(f"INSERT INTO request_facts VALUES ({digest}, {own})")  # noqa: S608
        await upgrade(older)
        assert await connection.fetchval("SELECT count(*) FROM deliveries_other") == 2
        found = {row[0] for row in await connection.fetch("SELECT tenant FROM request_facts")}
        assert found == ({"a", "b"} if revision == "postgres_0001" else {"a"})
        await connection.close()
        assert schema_of(older) == schema_of(fresh)


def schema_of(dsn):
    """Return the definitions of everything in a database, in their order."""
    command = [postgres_folders()[0] / "pg_dump", "--schema-only", as_role(dsn, OWNER)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in said.stdout.splitlines() if line and not line.startswith(("--", "\\"))]
