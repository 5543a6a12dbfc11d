"""Details of the control store and the directory in SQLite: tables, query plans, keys at rest."""

import asyncio
import threading
from hashlib import blake2b

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.limits_processes import SEGMENT_LOOK_MS
from clarion.domain.segment import Filter
from clarion.domain.user import UserWrite
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.control_accounts import ProviderWrite
from clarion.ports.documents import AuditFilter
from clarion.ports.secrets import SealBroken
from clarion.stores.sql import document_statements
from clarion.stores.sql.profiles import ProfileKey
from clarion.stores.sql.statement import Many, Statement
from clarion.stores.sql.tables import METADATA, POSTGRESQL_ONLY
from clarion.stores.sqlite import audience_pages
from clarion.stores.sqlite.audience_pages import AudienceReader
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.control import SqliteControl
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.segment_sql import condition
from tests import lookups
from tests.contract.controls import Clock, ControlPlane, migrated
from tests.contract.segments import LOOKED_AT, USERS, settle_in
from tests.contract.sql_statements import statements, values_of
from tests.registries import templates_of

T, K = "acme", "workflow"


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def installation(empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path)
    yield installation
    await installation.close()


async def test_the_declared_tables_are_the_migrated_ones(installation):
    db = connect(path_of(installation.data_dir, "control"), readonly=True)
    for table in METADATA.tables.values():
        columns = {row[1] for row in db.execute(f"PRAGMA table_info({table.name})")}
        declared = {column.name for column in table.columns if (table.name, column.name) not in POSTGRESQL_ONLY}
        assert columns == declared, table.name
    db.close()


async def test_another_master_key_is_detected_at_the_start(installation):
    with pytest.raises(SealBroken):
        SqliteControl(installation.data_dir, FileVault(bytes(32)), Clock())


async def test_a_read_waits_for_no_write(installation):
    control, began, end = installation.control, threading.Event(), threading.Event()

    async def hold(tx):
        tx.revise(T)
        began.set()
        assert end.wait(10)

    await control.topics.put(T, "news", "News")
    writing = asyncio.ensure_future(control._engine.run(T, hold))
    await asyncio.to_thread(began.wait, 10)
    try:
        async with asyncio.timeout(5):
            assert [topic.key for topic in await control.topics.page(T, "", 10)] == ["news"]
    finally:
        end.set()
    await writing


async def test_credentials_are_unreadable_at_rest_and_bound_to_their_row(installation):
    def account(api_key: str) -> ProviderWrite:
        return ProviderWrite("mail", Channel.EMAIL, "post_office", 1, True, {}, {"api_key": api_key})

    secret = "s3cret-of-acme"
    await installation.control.providers.put(T, account(secret))
    for path in installation.data_dir.iterdir():
        assert secret.encode() not in path.read_bytes(), path
    await installation.control.providers.put("other", account("k"))
    db = connect(path_of(installation.data_dir, "control"))
    db.execute(
        "UPDATE providers SET sealed = (SELECT sealed FROM providers WHERE tenant = 'acme') WHERE tenant = 'other'"
    )
    db.close()
    assert await lookups.accounts(installation.directory, "other", "email") == []


async def test_only_a_digest_of_a_key_is_in_the_file(installation):
    _, secret = await installation.control.keys.create(T, "ci", ["users:read"])
    for path in installation.data_dir.iterdir():
        assert secret.rsplit("_", 1)[1].encode() not in path.read_bytes()


async def test_a_user_who_is_erased_leaves_no_history_behind(installation):
    for name in ("ana", "bo"):
        await installation.control.users.put_many(T, [UserWrite(name, preferences='{"*":{"sms":false}}')])
    await installation.control.users.erase(T, "ana")
    db = connect(path_of(installation.data_dir, "control"), readonly=True)
    assert db.execute("SELECT count(*) FROM consents").get == 1
    db.close()


async def test_profiles_older_than_quiet_hours_stay_in_use(installation):
    await installation.control.users.put_many(T, [UserWrite("ana")])
    db = connect(path_of(installation.data_dir, "control"))
    db.execute(
        "UPDATE profiles SET digest = ? WHERE preferences = '{}'", (blake2b(b"4:acme0:2:{}", digest_size=16).digest(),)
    )
    db.close()
    later = ControlPlane(installation.data_dir)
    await later.control.users.put_many(T, [UserWrite("bo")])
    assert len({user.profile_id for user in (await lookups.users(later.directory, T, ["ana", "bo"])).values()}) == 1
    await later.close()
    assert len({ProfileKey("acme", "", "{}", quiet).digest() for quiet in ("", "{}", "2:{}")}) == 3


async def test_a_page_without_extra_columns_reads_the_index_alone(installation):
    asked = []
    installation.directory._db.exec_trace = lambda _cursor, text, values: asked.append((text, values)) or True
    await installation.directory.page(T, None, 0, 9)
    ((text, values),) = asked
    plan = installation.directory._db.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    assert "COVERING INDEX users_page (tenant=? AND ordinal>?)" in plan[0][3]
    assert len(plan) == 1  # nothing is sorted


async def test_documents_are_found_by_their_keys_and_nothing_is_sorted(installation):
    db = connect(path_of(installation.data_dir, "control"), readonly=True)
    place = {"tenant": T, "kind": K, "key": "x", "after": "", "limit": 9}
    plans = {}
    for name in ("ONE", "PAGE", "COUNT", "TRAIL"):
        text, values = getattr(document_statements, name).bound(
            sqlite.dialect(paramstyle="qmark"), place | {"after": 0}
        )
        plans[name] = [step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()]
    db.close()
    own = "SEARCH documents USING INDEX sqlite_autoindex_documents_1 (tenant=? AND kind=?"
    assert plans == {
        "ONE": [f"{own} AND key=?)"],
        "PAGE": [f"{own} AND key>?)"],
        "COUNT": [f"{own})"],
        "TRAIL": ["SEARCH audit USING INDEX sqlite_autoindex_audit_1 (tenant=? AND number>?)"],
    }


SCANS_OF_PEOPLE = {
    # Those that ended are looked for once in a while. Persons who sign in are few, and so is what one of them or a tenant has.
    "people_statements.FORGET_LINKS.0": ["SCAN links"],
    "people_statements.FORGET_SESSIONS.0": ["SCAN sessions"],
    "people_statements.LINKS_TO.0": ["USE TEMP B-TREE FOR ORDER BY"],
    "people_statements.SESSIONS_OF.0": ["USE TEMP B-TREE FOR ORDER BY"],
    "people_statements.OPERATORS.0": ["SCAN persons USING INDEX sqlite_autoindex_persons_1"],
}


async def test_every_statement_finds_its_rows_by_an_index(installation):
    db, dialect = connect(path_of(installation.data_dir, "control"), readonly=True), sqlite.dialect(paramstyle="qmark")
    scans = {}
    for name, statement in statements():
        given = values_of(statement, dialect)
        if isinstance(statement, Many):
            row = [None] * len(statement._names)
            text_, (values,) = statement.one_by_one(dialect, [row], given)
        else:
            text_, values = statement.bound(dialect, given)
        steps = [step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {text_}", values)]
        scans[name] = [step for step in steps if step.startswith(("SCAN", "USE TEMP")) and "json_each" not in step]
    db.close()
    assert len(scans) > 60
    # Keys are few, and asked for once an hour.
    assert {name: found for name, found in scans.items() if found} == {
        "keys._EXPIRING.0": ["SCAN api_keys", "USE TEMP B-TREE FOR ORDER BY"],
        "keys._USES.0": ["USE TEMP B-TREE FOR ORDER BY"],
        "keys._FORGET.0": ["USE TEMP B-TREE FOR ORDER BY"],
    } | SCANS_OF_PEOPLE


async def test_a_template_of_a_newer_build_does_not_hide_the_others(installation, caplog):
    templates, directory = templates_of(installation.control), installation.directory
    for key in ("hello", "second"):
        await templates.put(T, Template(key, 0, None, {Channel.SMS: {"body": key}}))
    broken = text("UPDATE artifacts SET body = '[]', build = build + 1 WHERE key = 'hello'")
    await installation.control._engine.run(T, lambda tx: tx.change(Statement(broken)))
    await templates.put(T, Template("third", 0, None, {Channel.SMS: {"body": "third"}}))
    await directory.refresh()
    assert await lookups.template(directory, T, "hello") is None
    assert (await lookups.template(directory, T, "second")).parts == {Channel.SMS: {"body": "second"}}
    assert "template hello of tenant acme is omitted" in caplog.text


async def test_slow_scans_of_users_are_made_smaller(installation, monkeypatch):
    """Every scan takes twice as long as a page may: scans halve, a page has one, and all users are still found."""
    monkeypatch.setattr(audience_pages, "SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    monkeypatch.setattr(audience_pages, "_FIRST_LOOK_USERS", 4)
    await settle_in(installation)
    ticks = iter(range(0, 10**9, 2 * SEGMENT_LOOK_MS))
    reader = AudienceReader(installation.directory._rows, lambda: next(ticks))
    matching = condition(Filter(reachable=Channel.PUSH), T, 0)
    sizes = [look.users for look in reader.matches(T, None, 0, matching)]
    assert sizes[:4] == [4, 2, 1, 1]
    assert sum(sizes) == USERS + 1  # the last scan finds no user
    found, after, done, pages = [], 0, False, 0
    while not done:
        rows, after, done, _ = reader.page(T, None, after, USERS, (), matching)
        found, pages = found + [row[1] for row in rows], pages + 1
    assert found == [f"u{number}" for number in range(USERS) if number % 2]
    assert pages == USERS // 4 + 1


async def test_pages_of_the_audit_read_a_range_of_numbers_and_sort_nothing(installation, monkeypatch):
    """Whichever filters are given: what a page costs is bounded by the range."""
    engine, texts = installation.control._engine, []
    read, dialect = type(engine).read, sqlite.dialect(paramstyle="qmark")

    async def traced(self, tenant, statement, **values):
        texts.append(statement.bound(dialect, values))
        return await read(self, tenant, statement, **values)

    await templates_of(installation.control).put(T, Template("hello", 0, None, {Channel.SMS: {"body": "x"}}))
    monkeypatch.setattr(type(engine), "read", traced)
    for wanted in (AuditFilter(), AuditFilter("key", "template.publish", "template", "hello", 0, 2**60)):
        await installation.control.documents.audit_page(T, wanted, 9, 9)
    db = connect(path_of(installation.data_dir, "control"), readonly=True)
    plans = [[step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)] for sql, values in texts]
    db.close()
    assert len(plans) >= 3
    own = "SEARCH audit USING INDEX sqlite_autoindex_audit_1 (tenant=? AND number>? AND number<?)"
    assert plans == [[own]] * len(plans)
