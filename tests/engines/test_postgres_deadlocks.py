"""Two processes store the same idempotency keys in opposite order: they never wait for each other, so the server refuses none."""

import asyncio

import asyncpg
import pytest

from clarion.ports.stage_store import AcceptState, Committed, IdempotencyEntry, StageResult, StaleKey
from clarion.stores.postgres import group_commit
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.pool import Database
from tests.contract.journals import PARTITIONS, START_MS, VirtualClock, frame, payloads
from tests.engines.postgres import API, APPLICATION, SUPERUSER, Engine, as_role, database_of

pytestmark = [pytest.mark.engines, pytest.mark.slow]
ROUNDS = 30
KEYS = 400
STEPS = 40
DEADLOCKS = "SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def admin(tmp_path):
    connection = await asyncpg.connect(as_role(database_of(tmp_path, Engine.own), SUPERUSER))
    # The server looks for deadlocks after this time; the test need not wait for a second each.
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '5ms'")
    yield connection
    await connection.close()


@pytest.fixture
async def two(tmp_path, admin):
    journals = []
    for role in (APPLICATION, API):
        database = Database(as_role(database_of(tmp_path), role))
        journals.append(PostgresJournal(database, VirtualClock(), await start(database, PARTITIONS)))
    yield journals
    for journal in journals:
        await journal.close()


async def deadlocks(admin) -> int:
    """Return how many the server has ended so far, of all whose processes have told it."""
    return (await admin.fetchrow(DEADLOCKS))["deadlocks"]


def batch(keys, partition: int, answer: bytes) -> StageResult:
    """Return a step as it accepts a batch: its keys, and a frame in a partition of its own."""
    entries = [IdempotencyEntry("acme", key, b"body", answer, START_MS + 60_000) for key in keys]
    return StageResult(
        frames=[frame(partition=partition, payload=answer)], accept_state=AcceptState(idempotency=entries)
    )


async def test_one_of_them_is_stored_and_the_other_told_and_neither_waits_for_the_other(two, admin, monkeypatch):
    monkeypatch.setattr(group_commit, "POSTGRES_RETRIES_MAX", 0)  # what the server ends to break a deadlock fails
    before = await deadlocks(admin)
    stored = []
    for number in range(ROUNDS):
        keys = [f"{number}-{key}" for key in range(KEYS)]
        steps = batch(keys, 0, b"a%d" % number), batch(keys[::-1], 1, b"b%d" % number)
        results = await asyncio.gather(
            *(one.commit(step) for one, step in zip(two, steps, strict=True)), return_exceptions=True
        )
        refused = [one for one in results if isinstance(one, StaleKey)]
        assert len(refused) == 1, results
        assert refused[0].keys == {("acme", key) for key in keys}
        stored.append(b"ab"[isinstance(results[0], StaleKey) :][:1] + b"%d" % number)
    found = await payloads(two[0], partition=0) + await payloads(two[0], partition=1)
    assert sorted(found) == sorted(stored), "what was refused left nothing behind"
    assert await deadlocks(admin) == before


async def test_the_same_keys_in_several_steps_of_a_commit_are_taken_in_one_order_too(two, admin, monkeypatch):
    monkeypatch.setattr(group_commit, "POSTGRES_RETRIES_MAX", 0)
    before = await deadlocks(admin)
    for number in range(ROUNDS):
        keys = [f"{number}-{key}" for key in range(STEPS)]
        steps = [(two[0], batch([key], 0, b"a")) for key in keys] + [
            (two[1], batch([key], 1, b"b")) for key in keys[::-1]
        ]
        results = await asyncio.gather(*(one.commit(step) for one, step in steps), return_exceptions=True)
        assert sum(isinstance(one, StaleKey) for one in results) == STEPS, results
        assert sum(isinstance(one, Committed) for one in results) == STEPS, results
    assert await deadlocks(admin) == before
