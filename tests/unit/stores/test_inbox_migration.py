"""Inboxes that version 0.1.0 stored keep their order and what was read, wherever their migration is interrupted."""

import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from clarion.domain.history import Changes, InboxItem
from clarion.inbox.rules.inbox import UNREAD, ItemFilter
from clarion.stores.postgres.migrate import upgrade as upgrade_postgres
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.state_rows import fold_rows
from clarion.stores.postgres.tenancy import SCOPE, within
from clarion.stores.sqlite import migrate
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.state import SqliteState
from tests.contract import ledgers as world
from tests.contract.inboxes import Inboxes, broadcast, own, released
from tests.contract.states import OwnDatabase, shut
from tests.engines.postgres import APPLICATION, SUPERUSER, as_role, engine
from tests.unit.stores import old_inbox as old

STATEMENTS_MAX = 120


def make(data_dir: Path) -> Path:
    """Create a `state.db` of version 0.1.0."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = migrate.path_of(data_dir, "state")
    connect(path).close()
    migrate._run(path, migrate._config("state"), "state_0004")
    db = connect(path)
    for table, values in old.rows():
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
    db.close()
    return path


async def check(state) -> None:
    """Assert that inboxes have their old order, and that what arrives now stands above all of it."""
    inboxes = Inboxes(state)
    before = (await inboxes.reader()).position
    assert (before.own, before.shared, len(before.epoch)) == (3, 2, 8)
    assert await inboxes.titles() == ["own 50", "40", "own 30", "20", "own 10"]
    assert await inboxes.titles(limit=1) == ["own 50", "40", "own 30", "20", "own 10"]
    assert await inboxes.titles(ItemFilter(UNREAD)) == ["own 50", "40", "20"]
    assert [entry.read_ms for entry in await inboxes.listed()][2] == 77
    assert await inboxes.titles(ordinal=2) == ["own 50", "own 30", "own 10"]
    assert (await inboxes.reader(tenant="other")).position[1:] == (3, 0)
    await inboxes.arrive(own(5), *broadcast(6, 100))
    assert await inboxes.titles(ItemFilter("all", since=before)) == ["own 5", "6"]
    assert (await inboxes.titles())[:3] == ["own 5", "6", "own 50"]
    held = broadcast(40, 100)[0]
    held.chunk_id, held.ordinals = old.broadcast_id(40) + b"chunk-01", [1, 2]
    await inboxes.arrive(released(held, [2], 90))
    assert await inboxes.titles(ordinal=2) == ["40", "6", "own 50", "own 30", "own 10"]
    assert (await inboxes.titles())[:4] == ["own 5", "6", "own 50", "40"], "others keep theirs"


async def test_stored_inboxes_get_their_places(tmp_path):
    make(tmp_path)
    state = SqliteState(tmp_path)
    await check(state)
    state.close()


@pytest.mark.parametrize("apart", [9, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.slow
async def test_a_migration_killed_anywhere_is_completed_by_the_next_start(tmp_path, apart):
    script = Path(__file__).with_name("crash_migration.py")
    for statement in range(1, STATEMENTS_MAX, apart):
        data_dir = tmp_path / str(statement)
        make(data_dir)
        done = subprocess.run([sys.executable, script, data_dir, str(statement), "state"], check=False)  # noqa: ASYNC221
        assert done.returncode in (0, -signal.SIGKILL)
        state = SqliteState(data_dir)
        await check(state)
        state.close()
        if done.returncode == 0:
            break
    assert statement > 30 and done.returncode == 0


async def old_database() -> str:
    """Return the owner's address of a database of version 0.1.0."""
    bare = engine().bare()
    await upgrade_postgres(bare, "postgres_0003")
    admin = await asyncpg.connect(as_role(bare, SUPERUSER))
    for table, values in old.rows():
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await admin.execute(f"INSERT INTO {table} VALUES ({places})", *values)  # noqa: S608
    await admin.close()
    return bare


@pytest.mark.engines
async def test_a_database_gives_stored_inboxes_their_places():
    bare = await old_database()
    await upgrade_postgres(bare)
    state = OwnDatabase(Database(as_role(bare, APPLICATION), connections=4))
    await check(state)
    await shut(state)


@pytest.mark.engines
async def test_a_migration_of_a_database_that_fails_midway_is_completed_by_the_next(monkeypatch):
    bare = await old_database()
    run = upgrade_postgres.__globals__["run_script"]

    def failing(connection, script):
        run(connection, script)
        connection.execute(text("SELECT 1 / 0"))

    monkeypatch.setattr("clarion.stores.postgres.migrate.run_script", failing)
    with pytest.raises(Exception, match="division by zero"):
        await upgrade_postgres(bare)
    monkeypatch.undo()
    await upgrade_postgres(bare)
    state = OwnDatabase(Database(as_role(bare, APPLICATION), connections=4))
    await check(state)
    await shut(state)


@pytest.mark.engines
async def test_the_fold_of_the_earlier_release_gives_places_too():
    bare = await old_database()
    await upgrade_postgres(bare)
    state = OwnDatabase(Database(as_role(bare, APPLICATION), connections=4))
    number = 23
    before = f"SELECT fold_store({', '.join(f'${n}' for n in range(1, number + 1))}) WHERE {SCOPE}"
    chunk = old.broadcast_id(40) + b"chunk-01"
    items = [InboxItem(world.TENANT, "user-2", old.item_id(60, "user-2"), 60, b'{"title":"own 60"}')]
    states = {chunk: (await state.ledger.load([], [chunk]))[1][chunk]}
    states[chunk].states = bytes([10, 10])
    arguments = fold_rows(Changes(inbox_items=items, chunk_states=states), [])[:number]
    arguments[13] = [row[:5] for row in arguments[13]]
    await state.database.run(lambda db: db.execute(*within(world.TENANT, before, *arguments)))
    inboxes = Inboxes(state)
    assert await inboxes.titles(ordinal=2) == ["own 60", "40", "own 50", "own 30", "own 10"]
    assert (await inboxes.titles())[:2] == ["own 50", "40"]
    await shut(state)
