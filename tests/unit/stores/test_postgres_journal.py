"""The journal on PostgreSQL when connections are lost, wake-ups do not arrive or a value cannot be stored."""

import asyncio

import asyncpg
import pytest

from clarion.domain.errors import DurabilityError, OutcomeUnknown, Overloaded, StaleLease, StoreUnavailable
from clarion.domain.limits_postgres import POSTGRES_GROUP_STEPS_MAX
from clarion.plan.placement import Regrouping
from clarion.ports.stage_store import StageResult
from clarion.stores.postgres import group_commit, wake_ups
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.pool import Connection, Database
from clarion.stores.postgres.steps import CALL, EMPTY_CAPS, Step, arrays
from clarion.stores.postgres.tenancy import NO_TENANT, within
from clarion.stores.postgres.timeline import UNKNOWN
from clarion.stores.postgres.wake_ups import HEADS
from tests.contract.journals import PARTITIONS, START_MS, frame, frames, offsets, payloads
from tests.engines.postgres import SUPERUSER, as_role, database_of

pytestmark = pytest.mark.engines


@pytest.fixture
def dsn(tmp_path):
    return database_of(tmp_path)


@pytest.fixture
async def opened(dsn, clock):
    """Return a function that opens the journal as another process does."""
    journals = []

    async def one(**options) -> PostgresJournal:
        database = Database(dsn, **options)
        journals.append(PostgresJournal(database, clock, await start(database, PARTITIONS)))
        return journals[-1]

    yield one
    for journal in journals:
        await journal.close()


@pytest.fixture
async def journal(opened):
    return await opened()


@pytest.fixture
async def admin(dsn):
    connection = await asyncpg.connect(as_role(dsn, SUPERUSER))
    yield connection
    await connection.close()


@pytest.fixture
def losing(monkeypatch):
    """Lose the connection of the next calls of `commit_steps`, before the server gets them or after it ran them."""

    def lose(*, after: bool = False, times: int = 1, error: Exception | None = None, others: bool = False) -> None:
        left = times
        real = asyncpg.Connection.fetchval

        async def fetchval(self, statement, *values, **more):
            nonlocal left
            if ("journal.commit_steps" not in statement and not others) or left == 0:
                return await real(self, statement, *values, **more)
            left -= 1
            if after:
                await real(self, statement, *values, **more)
            raise error or asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

        monkeypatch.setattr(Connection, "fetchval", fetchval)

    return lose


WAITING = "SELECT count(*) >= $1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def until(ask):
    """Return the first answer that is true."""
    while True:
        if answer := await ask():
            return answer
        await asyncio.sleep(0.001)


async def commits_of(admin) -> int:
    return await admin.fetchval("SELECT coalesce(max(number), 0) FROM journal.writers")


class TestGroups:
    async def test_concurrent_steps_share_a_transaction(self, journal, admin):
        await asyncio.gather(*(journal.commit(frames(b"%d" % n)) for n in range(50)))
        assert await commits_of(admin) == 1
        assert await payloads(journal) == [b"%d" % n for n in range(50)]

    async def test_a_group_has_a_bounded_number_of_steps(self, journal, admin):
        await asyncio.gather(*(journal.commit(frames(b"x")) for _ in range(POSTGRES_GROUP_STEPS_MAX + 1)))
        assert await commits_of(admin) == 2

    async def test_a_group_has_a_bounded_number_of_bytes(self, journal, admin, monkeypatch):
        monkeypatch.setattr(group_commit, "POSTGRES_GROUP_BYTES_MAX", 10)
        await asyncio.gather(*(journal.commit(frames(b"1234")) for _ in range(4)))
        assert await commits_of(admin) == 2
        await journal.commit(frames(bytes(100)))

    async def test_a_step_that_may_wait_joins_the_next_or_goes_after_its_time(self, journal, admin):
        waiting = asyncio.create_task(
            journal.commit(StageResult(frames=[frame("u")], may_wait_ms=60_000)), name="waiting"
        )
        await asyncio.sleep(0)
        await journal.commit(frames(b"now"))
        assert (await waiting).offsets == [1]
        assert await commits_of(admin) == 1
        assert (await journal.commit(StageResult(frames=[frame("u")], may_wait_ms=1))).offsets == [2]

    async def test_a_value_that_cannot_be_stored_fails_its_step_alone(self, journal):
        steps = [
            frames(b"1"),
            StageResult(frames=[frame("no\0topic")]),
            frames(b"2"),
            StageResult(frames=[frame("\ud800")]),
        ]
        answers = await asyncio.gather(*map(journal.commit, steps), return_exceptions=True)
        assert [answers[at].offsets for at in (0, 2)] == [[1], [2]]
        assert isinstance(answers[1], ValueError)
        assert isinstance(answers[3], ValueError)

    async def test_too_many_steps_are_refused(self, journal, monkeypatch):
        monkeypatch.setattr(group_commit, "JOURNAL_QUEUE_JOBS_MAX", 3)
        answers = await asyncio.gather(*(journal.commit(frames(b"x")) for _ in range(5)), return_exceptions=True)
        assert [isinstance(answer, Overloaded) for answer in answers] == [False] * 3 + [True] * 2


class TestLostConnections:
    async def test_a_commit_that_took_effect_is_answered_once(self, journal, losing):
        lease = await journal.acquire("g", 0, "me", 1_000)
        await journal.release([lease])
        refused = StageResult(frames=[frame()], lease=lease)
        losing(after=True)
        answers = await asyncio.gather(
            journal.commit(frames(b"1")), journal.commit(refused), journal.commit(frames(b"2")), return_exceptions=True
        )
        assert (answers[0].offsets, answers[2].offsets) == ([1], [2])
        assert isinstance(answers[1], StaleLease)
        assert await payloads(journal) == [b"1", b"2"]

    async def test_a_commit_that_did_not_take_effect_is_made_again(self, journal, losing):
        losing()
        assert (await journal.commit(frames(b"1"))).offsets == [1]
        assert await payloads(journal) == [b"1"]

    async def test_a_backend_that_is_ended_while_it_commits_stores_the_step_once(self, journal, admin):
        await journal.commit(frames(b"0"))
        async with admin.transaction():
            await admin.execute("SELECT 1 FROM journal.streams WHERE topic = 't' FOR UPDATE")
            commit = asyncio.create_task(journal.commit(frames(b"1")))
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await until(lambda: admin.fetchval(ended))
        assert (await commit).offsets == [2]
        assert await payloads(journal) == [b"0", b"1"]

    async def test_a_commit_that_was_given_up_cannot_take_effect_later(self, journal, admin):
        writer, values = b"writer", arrays([Step(frames(b"1"))])
        fixed = (START_MS, None, 1_000, 10, EMPTY_CAPS)
        assert await admin.fetchval("SELECT journal.outcome($1, 7, 0)", writer) is None
        with pytest.raises(asyncpg.PostgresError) as refused:
            await admin.fetchval(*within(NO_TENANT, CALL, writer, 7, "o", *fixed, *values, UNKNOWN))
        assert refused.value.sqlstate == "CLR02"
        assert await admin.fetchval(*within(NO_TENANT, CALL, writer, 8, "o", *fixed, *values, UNKNOWN))
        assert await offsets(journal) == [1]

    async def test_while_an_outcome_is_looked_for_other_steps_are_refused_and_later_ones_are_not(
        self, journal, losing, monkeypatch
    ):
        monkeypatch.setattr(group_commit, "POSTGRES_DOUBT_S_MAX", 0.5)
        losing(times=-1, others=True)
        in_doubt = asyncio.create_task(journal.commit(frames(b"1")))
        await asyncio.sleep(0.2)
        with pytest.raises(Overloaded, match="cannot be reached"):
            await journal.commit(frames(b"2"))
        with pytest.raises(OutcomeUnknown, match="not known"):
            await in_doubt
        monkeypatch.undo()
        await journal.commit(frames(b"3"))
        assert (await payloads(journal))[-1] == b"3"
        assert b"2" not in await payloads(journal)

    async def test_a_deadlock_is_retried_and_a_full_disk_is_not(self, journal, losing):
        losing(error=asyncpg.DeadlockDetectedError("deadlock detected"), times=2)
        assert (await journal.commit(frames(b"1"))).offsets == [1]
        losing(error=asyncpg.DiskFullError("no space left on device"))
        with pytest.raises(Overloaded, match="no space left"):
            await journal.commit(frames(b"2"))
        assert (await journal.commit(frames(b"2"))).offsets == [2]

    async def test_no_server_is_unavailable_and_its_password_is_not_told(self, journal, clock, tmp_path):
        database = Database(f"postgresql://clarion:hunter2@/clarion?host={tmp_path}")
        away = PostgresJournal(database, clock, await start(journal._database, PARTITIONS))
        with pytest.raises(StoreUnavailable) as unread:
            await away.heads_of([("t", 0)])
        with pytest.raises(Overloaded) as unwritten:
            await away.commit(frames(b"1"))
        with pytest.raises(Overloaded):
            await away.acquire("g", 0, "me", 1_000)
        assert "hunter2" not in f"{unread.value} {unwritten.value} {database!r}"
        await away.close()
        with pytest.raises(DurabilityError):
            await away.commit(frames(b"1"))


class TestWakeUps:
    async def test_a_notification_is_enough(self, opened, admin, monkeypatch):
        monkeypatch.setattr(wake_ups, "POSTGRES_CHECK_MS", 3_600_000)
        one, two = await opened(), await opened()
        watch = one.watch(["t"], [0])
        # It has begun to listen and compared the heads once.
        await until(lambda: admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT topic%'"))
        await two.commit(frames(b"2"))
        assert await watch.wait(10_000)
        assert watch.grown == {("t", 0)}

    async def test_a_lost_notification_is_recovered(self, opened, monkeypatch):
        monkeypatch.setattr(wake_ups, "POSTGRES_CHECK_MS", 20)
        monkeypatch.setattr(wake_ups.WakeUps, "_receive", lambda *_message: None)
        one, two = await opened(), await opened()
        watch = one.watch(["t"], [0])
        for n in range(3):
            await two.commit(frames(b"%d" % n))
            assert await watch.wait(10_000)

    async def test_a_listener_whose_connection_ends_listens_again(self, opened, admin, monkeypatch):
        monkeypatch.setattr(wake_ups, "POSTGRES_CHECK_MS", 20)
        one, two = await opened(), await opened()
        watch = one.watch()
        await two.commit(frames(b"1"))
        assert await watch.wait(10_000)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1"
        assert await admin.fetchval(ended, HEADS)
        await two.commit(frames(b"2"))
        assert await watch.wait(10_000)

    async def test_a_commit_over_more_streams_than_a_notification_names_wakes_all(self, opened, monkeypatch):
        one, two = await opened(), await opened()
        watch = one.watch(["topic 399"], [0])
        await two.commit(StageResult(frames=[frame(f"topic {n}") for n in range(400)]))
        assert await watch.wait(10_000)


async def test_leases_expire_by_the_clock_of_the_server(journal, clock):
    assert await journal.acquire("g", 0, "one", 60)
    clock.pass_ms(1_000_000)
    assert await journal.acquire("g", 0, "two", 60) is None
    heir = await until(lambda: journal.acquire("g", 0, "two", 60_000))
    clock.pass_ms(1_000_000)
    assert await journal.renew([heir], 60_000) == [heir]
    assert (await journal.commit(StageResult(frames=[frame()], lease=heir))).offsets == [1]


async def test_a_lease_is_not_acquired_before_commits_under_it_are_durable(opened, admin):
    one, two = await opened(), await opened()
    await one.commit(frames(b"0"))
    lease = await one.acquire("g", 0, "one", 60_000)
    async with admin.transaction():
        await admin.execute("SELECT 1 FROM journal.streams WHERE topic = 't' FOR UPDATE")
        commit = asyncio.create_task(one.commit(StageResult(frames=[frame()], lease=lease)))
        await until(lambda: admin.fetchval(WAITING, 1))
        assert await two.release_dead(["one"]) == 1
        taken = asyncio.create_task(two.acquire("g", 0, "two", 60_000))
        await until(lambda: admin.fetchval(WAITING, 2))
        assert not taken.done()
    answers = await asyncio.gather(commit, taken, return_exceptions=True)
    assert isinstance(answers[0], StaleLease)  # its fence was checked after the lease had been freed
    assert answers[1].fence == lease.fence + 1


async def test_a_writer_that_a_change_of_partitions_ended_does_not_begin_again(opened, losing):
    overlooked, changes = await opened(), await opened()
    await overlooked.commit(frames(b"before"))
    await changes.regroup(Regrouping(PARTITIONS, 8), {})
    losing()
    for _ in range(2):
        with pytest.raises(DurabilityError, match="number of partitions of the journal was changed"):
            await overlooked.commit(frames(b"after"))
    losing()
    await changes.commit(frames(b"after"))
    assert await payloads(changes) == [b"before", b"after"]


async def test_connections_keep_no_prepared_statement_for_a_pooler(opened, admin):
    journal = await opened(through_pooler=True)
    await journal.commit(frames(b"1"))
    assert await payloads(journal) == [b"1"]
    assert journal._database._options(journal._database._through_pooler)["statement_cache_size"] == 0
    assert journal._database._options(journal._database._through_pooler)["server_settings"] == {
        "application_name": "clarion-clarion"
    }
