"""Two processes store the same idempotency keys in opposite order: the server ends a deadlock by refusing one of them, which is
run again as a whole."""

import asyncio

import asyncpg
import pytest

from clarion.ports.stage_store import AcceptState, IdempotencyEntry, StageResult, StaleKey
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.pool import Database
from tests.contract.journals import PARTITIONS, START_MS, VirtualClock, frame, payloads
from tests.engines.postgres import SUPERUSER, Engine, as_role, database_of

pytestmark = [pytest.mark.engines, pytest.mark.slow]
ROUNDS_MIN, ROUNDS_MAX = 10, 1_000
KEYS = 400
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
    for _ in range(2):
        database = Database(database_of(tmp_path))
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


async def test_one_of_them_is_stored_and_the_other_told(two, admin):
    before = await deadlocks(admin)
    stored = []
    number = 0
    # Which of two commits comes first is up to the server: they go on until it had to end a deadlock.
    while number < ROUNDS_MIN or (number < ROUNDS_MAX and await deadlocks(admin) == before):
        keys = [f"{number}-{key}" for key in range(KEYS)]
        steps = batch(keys, 0, b"a%d" % number), batch(keys[::-1], 1, b"b%d" % number)
        results = await asyncio.gather(
            *(one.commit(step) for one, step in zip(two, steps, strict=True)), return_exceptions=True
        )
        refused = [one for one in results if isinstance(one, StaleKey)]
        assert len(refused) == 1, results
        assert refused[0].keys == {("acme", key) for key in keys}
        stored.append(b"ab"[isinstance(results[0], StaleKey) :][:1] + b"%d" % number)
        number += 1
    found = await payloads(two[0], partition=0) + await payloads(two[0], partition=1)
    assert sorted(found) == sorted(stored), "what was refused left nothing behind"
    assert await deadlocks(admin) > before, "no deadlock came about, so nothing was shown"
