"""Plans of hot reads under row-level security: the tenants are set first, and conditions reach the indexes."""

import asyncpg
import pytest

from clarion.stores.postgres import state_history
from clarion.stores.postgres.audience_pages import _HEAD, _PAGE, Audience
from clarion.stores.postgres.control_engine import _DIALECT as DIALECT
from clarion.stores.postgres.state_fold import _LOAD
from clarion.stores.postgres.tenancy import ALL_TENANTS, within
from clarion.stores.sql.statement import Many
from clarion.stores.sql.tables import METADATA
from tests.contract.sql_statements import statements, values_of
from tests.engines.postgres import API, APPLICATION, as_role, database_of

pytestmark = pytest.mark.engines
ID = bytes(24)


def audience(topic):
    values, size, users, _ = Audience("a", topic, None, 0).begin(0, 500)
    return "a", _PAGE.format(head=_HEAD, audience=users, size=size), values.all


READS = {
    "users": (*audience(None), "users_page", "((tenant = 'a'::text) AND (ordinal > '0'::bigint))"),
    "members": (*audience("k"), "topic_members_pkey", "(ordinal > '0'::bigint))"),
    "deliveries": (
        "a",
        state_history._DELIVERIES,
        [[ID], "a", ID, ID],
        "deliveries_other_pkey",
        "((id = w.id) AND (tenant = ",
    ),
    "deliveries of notifications": (
        "a",
        state_history._DELIVERIES_OF,
        [[ID], "a", ID, ID, 9],
        "deliveries_other_pkey",
        "(id >= w.id) AND (id <= (w.id || ",
    ),
    "instances of notifications": (
        "a",
        state_history._INSTANCES,
        [[ID], "a", ID, ID, 9],
        "instances_other_pkey",
        "(id >= w.id) AND (id <= (w.id || ",
    ),
    "cancellations": (
        "a",
        state_history._CANCELLED,
        [[ID], "a", ID, ID],
        "subject_cancellations_other_pkey",
        "(id = w.id)",
    ),
    "letters": (
        "a",
        f"{state_history._DEAD} AND delivery_id < $2",
        ["a", ID],
        "dead_letters_other_pkey",
        "(delivery_id < '\\x",
    ),
    "load": (ALL_TENANTS, _LOAD, [[ID], [], ID, ID], "deliveries_other_pkey", "(id = w.id)"),
}


TENANTS_FIRST = ("One-Time Filter: ($0 IS NOT NULL)", "One-Time Filter: ((InitPlan 1).col1 IS NOT NULL)")
"""How a plan says that the tenants are set before a row is read: up to version 16, and from 17 on."""


@pytest.mark.parametrize("role", [API, APPLICATION])
@pytest.mark.parametrize("name", READS)
async def test_a_hot_read_sets_its_tenants_first_and_looks_into_an_index(tmp_path, name, role):
    tenants, statement, values, index, condition = READS[name]
    connection = await asyncpg.connect(as_role(database_of(tmp_path), role))
    await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    call = within(tenants, statement, *values)
    plan = [row[0].strip() for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {call[0]}", *call[1:])]
    await connection.close()
    assert plan[0] == "Result"
    assert plan[1] in TENANTS_FIRST
    looks = [at for at, line in enumerate(plan) if f"using {index} " in line]
    assert looks
    assert any(line.startswith("Index Cond:") and condition.strip("()") in line for line in plan[looks[0] :]), (
        "\n".join(plan)
    )


SEEN_WHOLE = {"people_statements.FORGET_LINKS.0", "people_statements.FORGET_SESSIONS.0"}
"""What ended is looked for once in a while."""


async def test_every_statement_of_the_control_store_finds_its_rows_by_an_index(tmp_path):
    connection = await asyncpg.connect(as_role(database_of(tmp_path), API))
    await connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    scanned, declared = {}, {}
    for name, statement in statements():
        given = values_of(statement, DIALECT)
        if isinstance(statement, Many):
            text, values = statement.at_once(DIALECT, [[None] * len(statement._names)], given)
        else:
            text, values = statement.bound(DIALECT, given)
        async with connection.transaction():
            await connection.execute("SELECT set_config('clarion.tenants', '{a}', true)")
            plan = [row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {text}", *values)]
        scanned[name] = [line.strip() for line in plan if "Seq Scan" in line]
    for table in METADATA.tables.values():
        found = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
        declared[table.name] = {row[0] for row in await connection.fetch(found, table.name)}
    await connection.close()
    assert len(scanned) > 60
    assert {name for name, lines in scanned.items() if lines} == SEEN_WHOLE
    assert declared == {table.name: set(table.columns.keys()) for table in METADATA.tables.values()}
