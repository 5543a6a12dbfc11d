"""An installation moves from files to a server and back: every table with all of its rows, whatever cuts it."""

import sqlite3

import asyncpg
import msgspec
import pytest

from clarion.app.store_migration.run import PROBE, cancel, migrate, paired
from clarion.domain.errors import OperatorError
from clarion.domain.user import Device
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.store_rows import Mark, check_unmoved
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.store_rows import PostgresRows
from clarion.stores.postgres.store_tables import LEFT as LEFT_ON_SERVER
from clarion.stores.sqlite.migrate import NAMES, path_of
from clarion.stores.sqlite.store_rows import SqliteRows
from clarion.stores.sqlite.store_tables import LEFT, name_of
from tests.contract.journals import VirtualClock, held, sqlite
from tests.engines.postgres import API, OWNER, SUPERUSER, Engine, as_role, database_of, engine
from tests.stores import prepared

pytestmark = pytest.mark.engines
ROWS = 7
DEVICES = msgspec.msgpack.encode((Device("d1", "push", "token"), Device("d2", "webpush", "token")))
ONES = {"revisions": {"id": 1, "number": 17}, "users": {"devices": DEVICES}}
"""Columns whose values are not made up."""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "files"
    for name in NAMES:
        prepared(made, name)
    return made


@pytest.fixture
def dsn(tmp_path):
    return as_role(database_of(tmp_path, Engine.own), OWNER)


@pytest.fixture(autouse=True)
async def sides(monkeypatch):
    """Close what a test has opened."""
    opened = []
    for kind in (SqliteRows, PostgresRows):

        def made(self, *args, begin=kind.__init__):
            begin(self, *args)
            opened.append(self)

        monkeypatch.setattr(kind, "__init__", made)
    yield opened
    for side in opened:
        await side.close()


@pytest.fixture
def vault(tmp_path):
    return FileVault.load(tmp_path)


def nothing(*_):
    """Show no progress."""


async def filled(rows, vault, count=ROWS):
    """Give every table rows of made-up values; return the tables."""
    tables = await rows.tables()
    await rows.set_mark(Mark("a test", "target", "none"))
    await rows.set_mark(None)
    for table in sorted(tables):
        number = 1 if table.name == "revisions" else count
        kinds = kinds_of(rows, table)
        made = [
            tuple(value(table.name, column, kinds[column], n) for column in table.columns) for n in range(1, number + 1)
        ]
        await rows.write(table, made)
    facts = next(table for table in tables if table.name == "facts")
    await rows.write(
        facts, [tuple({"name": PROBE, "value": vault.seal("", PROBE, b"")}[name] for name in facts.columns)]
    )
    return tables


def kinds_of(rows, table):
    form = rows._forms[table.name]
    db = rows._files[form.file]
    own = {name: found for found in _tables(db) for name in [name_of(form.file, found)]}
    kinds = {row[1]: row[2] for row in db.execute(f'PRAGMA table_info("{own[table.name]}")')}
    return {
        column: kinds.get(column, "INTEGER" if column in ("stream_id", "offset") else "TEXT")
        for column in table.columns
    }


def _tables(db):
    return [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def value(table, column, kind, n):
    """Return a value of a kind that is another one in each row, and the same for one column in all tables."""
    if column in ONES.get(table, {}):
        return ONES[table][column]
    if kind == "BLOB":
        return b"%s-%03d-\x00\xff" % (b"digest" if column in ("setting", "digest") else column.encode(), n)
    if kind == "TEXT":
        return f"{column}-{n:03}-ü"
    return 1 if column in ("critical", "removed", "enabled", "applied", "allowed") else n


async def contents(rows) -> dict[str, list]:
    return {
        table.name: [row async for batch in rows.rows(table, None) for row in batch] for table in await rows.tables()
    }


async def closed(*sides):
    for side in sides:
        await side.close()


async def test_every_table_is_carried_over_or_listed(folder, dsn):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    assert paired(await files.tables(), await server.tables())
    admin = await asyncpg.connect(as_role(dsn, SUPERUSER))
    there = await admin.fetch("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'journal')")
    parts = await admin.fetch("SELECT inhrelid::regclass::text FROM pg_inherits")
    await admin.close()
    names = {name if schema == "public" else f"{schema}.{name}" for schema, name in there} - {row[0] for row in parts}
    assert names == {table.name for table in await server.tables()} | set(LEFT_ON_SERVER)
    own = {name_of(file, table) for file, db in files._files.items() for table in _tables(db) if "sqlite_" not in table}
    assert own == {table.name for table in await files.tables()} | set(LEFT)
    await closed(files, server)


async def test_all_rows_go_there_and_back(folder, dsn, vault, tmp_path):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    tables = await filled(files, vault)
    before = await contents(files)
    assert all(before[table.name] for table in tables), "a table without a row shows nothing"
    compared = await migrate(files, server, vault, nothing)
    assert {one.table: one.rows for one in compared} == {name: len(rows) for name, rows in before.items()}
    assert await server._db.fetchval("SELECT array_agg(DISTINCT device_kinds::text) FROM users") == ["{push,webpush}"]
    heads = await server._db.fetch("SELECT stream_id, head, total, appended_ms FROM journal.streams ORDER BY 1")
    assert [tuple(row) for row in heads] == [(n, n, n, n) for n in range(1, ROWS + 1)]
    await closed(files)
    again = SqliteRows.target(tmp_path / "again")
    await migrate(server, again, vault, nothing)
    assert await contents(again) == before
    await closed(server, again)


async def test_no_number_is_given_out_again(folder, dsn, vault, tmp_path):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    await filled(files, vault)
    await files.finish({"users.ordinal": 900, "journal.cancellations.sequence": 800})
    await migrate(files, server, vault, nothing)
    there = await server.given()
    assert (there["users.ordinal"], there["journal.cancellations.sequence"], there["profiles.profile_id"]) == (
        900,
        800,
        ROWS,
    )
    again = SqliteRows.target(tmp_path / "again")
    await migrate(server, again, vault, nothing)
    back = await again.given()
    assert (back["users.ordinal"], back["journal.cancellations.sequence"]) == (900, 800)
    await closed(files, server, again)


class Cut(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", range(0, 60, 7))
async def test_a_migration_that_was_cut_anywhere_continues(folder, dsn, vault, monkeypatch, at):
    monkeypatch.setattr("clarion.stores.sqlite.store_rows.CARRIED_ROWS_MAX", 30)
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    await filled(files, vault, 70)
    before, write, writes = await contents(files), server.write, []

    async def cut(table, rows):
        if len(writes) == at:
            raise Cut
        writes.append(table.name)
        await write(table, rows)

    monkeypatch.setattr(server, "write", cut)
    with pytest.raises(Cut):
        await migrate(files, server, vault, nothing)
    await closed(files, server)
    files, server = SqliteRows.source(folder), await PostgresRows.target(dsn)
    compared = await migrate(files, server, vault, nothing)
    assert {one.table: one.rows for one in compared} == {name: len(rows) for name, rows in before.items()}
    await closed(files, server)


async def test_processes_of_both_sides_are_refused_until_it_has_ended(folder, dsn, vault, monkeypatch):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    await filled(files, vault)

    async def cut(*_):
        raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(server, "finish", cut)
        await migrate(files, server, vault, nothing)
    for side, words in (
        (files, "is being moved from sqlite to postgres"),
        (server, "migration from sqlite has not ended"),
    ):
        with pytest.raises(OperatorError, match=words):
            check_unmoved(side.engine, msgspec.json.encode(await side.mark()))
    await migrate(files, server, vault, nothing)
    assert await server.mark() is None
    with pytest.raises(OperatorError, match='was moved from sqlite to postgres: set store = "postgres"'):
        check_unmoved("sqlite", msgspec.json.encode(await files.mark()))
    assert await migrate(files, server, vault, nothing) is None, "a second call has nothing to do"


async def test_a_cut_migration_is_not_continued_with_another_source(folder, dsn, vault, tmp_path, monkeypatch):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    await filled(files, vault)

    async def cut(*_):
        raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(server, "finish", cut)
        await migrate(files, server, vault, nothing)
    other = SqliteRows.target(tmp_path / "other")
    await filled(other, vault)
    with pytest.raises(OperatorError, match="holds part of another source"):
        await migrate(other, server, vault, nothing)
    assert await other.mark() is None
    await cancel(files, "postgres")
    assert await files.mark() is None
    with pytest.raises(OperatorError, match="no migration from sqlite to postgres to cancel"):
        await cancel(files, "postgres")
    await closed(files, server, other)


async def test_what_cannot_be_moved_is_refused_and_nothing_is_left(folder, dsn, vault, tmp_path):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    await filled(files, vault)
    topics = next(table for table in await server.tables() if table.name == "topics")
    await server.write(topics, [("acme", "news", "News", 1)])
    with pytest.raises(OperatorError, match="has rows"):
        await migrate(files, server, vault, nothing)
    assert (await files.mark(), await server.mark()) == (None, None)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(OperatorError, match="The master key here is not that"):
        await migrate(files, server, FileVault.load(tmp_path / "elsewhere"), nothing)
    assert (await files.mark(), await server.mark()) == (None, None)
    await closed(files, server)


async def test_an_installation_that_runs_is_not_moved(folder, dsn):
    journal = sqlite(folder, VirtualClock(), 2)
    with pytest.raises(OperatorError, match="cannot be moved while another process has the journal open"):
        SqliteRows.source(folder)
    await journal.close()
    await closed(SqliteRows.source(folder))
    database = Database(dsn)
    journal = PostgresJournal(database, VirtualClock(), await start(database, 2))
    await held(journal, owner="worker-0-a")
    with pytest.raises(OperatorError, match="cannot be moved while worker-0-a works"):
        await PostgresRows.source(dsn)
    await journal.close()


async def test_sides_that_differ_are_found(folder, dsn, vault, monkeypatch):
    files, server = SqliteRows.target(folder), await PostgresRows.target(dsn)
    await filled(files, vault)
    finish = server.finish

    async def spoiled(given):
        await finish(given)
        await server._db.execute("UPDATE journal.waits SET topic = 'other' WHERE expires_ms = 3")

    with monkeypatch.context() as patched:
        patched.setattr(server, "finish", spoiled)
        with pytest.raises(OperatorError, match=r"The table journal\.waits is not the same on both sides: 7 rows"):
            await migrate(files, server, vault, nothing)
    assert (await files.mark()).is_done is False


async def test_only_one_migration_is_at_work_on_a_database(dsn):
    server = await PostgresRows.target(dsn)
    with pytest.raises(OperatorError, match="Another 'clarion migrate-store'"):
        await PostgresRows.target(dsn)
    await closed(server)
    await closed(await PostgresRows.target(dsn))


async def test_another_schema_is_refused_on_either_side(folder, dsn, tmp_path):
    with sqlite3.connect(path_of(folder, "state")) as db:
        db.execute("UPDATE alembic_version SET version_num = 'state_0003'")
    db.close()
    for side in (SqliteRows.source, SqliteRows.target):
        with pytest.raises(OperatorError, match="too old"):
            side(folder)
    with pytest.raises(OperatorError, match="There is no installation"):
        SqliteRows.source(tmp_path / "nowhere")
    admin = await asyncpg.connect(as_role(dsn, SUPERUSER))
    await admin.execute("UPDATE alembic_version SET version_num = 'postgres_0003'")
    for side in (PostgresRows.source, PostgresRows.target):
        with pytest.raises(OperatorError, match="PostgreSQL database is too old"):
            await side(dsn)
    await admin.close()


async def test_missing_rights_are_named_before_anything_is_changed(dsn):
    with pytest.raises(OperatorError, match="lacks rights on the table "):
        await PostgresRows.target(as_role(dsn, API))


async def test_a_database_without_a_schema_gets_one():
    server = await PostgresRows.target(engine().bare())
    assert await server.is_empty()
    await closed(server)
