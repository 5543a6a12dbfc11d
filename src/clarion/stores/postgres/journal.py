"""The journal in PostgreSQL, shared by the processes of any number of machines: streams and stage store in one database, so that a step
and its frames are one commit.

Leases expire by the server's clock; everything else that is dated has the time of the process that wrote it.
"""

import secrets
from typing import Final, NamedTuple

from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.domain.limits_processes import PARTITIONS_MAX
from clarion.ports.clock import Clock
from clarion.runtime.watch import Stream
from clarion.stores.postgres.group_commit import PARTITIONS, GroupCommit, LeaseTime
from clarion.stores.postgres.migrate import upgrade
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.server_check import check_server
from clarion.stores.postgres.stage_store import PostgresStageStore
from clarion.stores.postgres.streams import PostgresStreams
from clarion.stores.postgres.tenancy import NO_TENANT
from clarion.stores.postgres.wake_ups import HEADS, WakeUps

_FIX: Final = """WITH fixed AS (
        INSERT INTO journal.meta (name, value) VALUES ('partitions', $1) ON CONFLICT DO NOTHING RETURNING 1
    ) INSERT INTO journal.meta (name, value) SELECT 'feature_level', $2 FROM fixed ON CONFLICT DO NOTHING"""
"""Begins a new journal: no older build is at work on it."""
_LEVEL: Final = "SELECT value FROM journal.meta WHERE name = 'feature_level'"


_REGISTER: Final = "INSERT INTO journal.writers (writer, number, at_ms) VALUES ($1, 0, journal.lease_time(NULL)) ON CONFLICT DO NOTHING"


class JournalStart(NamedTuple):
    """What a process has before it uses the journal: its id as a writer, the number of partitions, the feature level, and the
    heads of the streams."""

    writer: bytes
    partitions: int
    level: int
    heads: dict[Stream, int]


async def open_journal(dsn: str, clock: Clock, partitions: int, *, role: str = "clarion") -> "PostgresJournal":
    """Bring the schema to the newest revision and return the open journal. Raises `OperatorError` and `StoreUnavailable` when
    the server cannot be used."""
    await check_server(dsn)
    await upgrade(dsn)
    database = Database(dsn, role=role)
    try:
        return PostgresJournal(database, clock, await start(database, partitions))
    except BaseException:
        await database.close()
        raise


async def start(database: Database, partitions: int) -> JournalStart:
    """Return what a process has to know. `partitions` is used at the first start only; later starts use the stored
    number. Waits for a change of the number that is under way."""
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
    writer = secrets.token_bytes(16)
    # Known before the number is read: a change of it ends all writers that may know another one.
    await database.run(lambda db: db.execute(_REGISTER, writer), repeatable=True)
    await database.run(lambda db: db.execute(_FIX, partitions, FEATURE_LEVEL), repeatable=True)
    # A statement of its own: it sees the number of a process that started at the same time.
    fixed = await database.fetchval(NO_TENANT, PARTITIONS)
    level = await database.fetchval(NO_TENANT, _LEVEL) or 0
    rows = await database.fetch(NO_TENANT, HEADS)
    return JournalStart(writer, fixed, level, {(topic, partition): head for topic, partition, head in rows})


class PostgresJournal(PostgresStreams, PostgresStageStore):
    """Implements `ports.streams.Streams` and `ports.stage_store.StageStore` over a database with the newest schema. Used from
    one event loop. `lease_time` replaces the server's clock, as tests need that move the time."""

    def __init__(
        self, database: Database, clock: Clock, started: JournalStart, lease_time: LeaseTime = lambda: None
    ) -> None:
        origin = secrets.token_hex(8)
        wakes = WakeUps(database, origin, dict(started.heads))
        writer = GroupCommit(database, clock, lease_time, started.writer, started.partitions, origin, wakes.grew)
        PostgresStreams.__init__(self, database, wakes, started.partitions)
        PostgresStageStore.__init__(
            self, database, writer, wakes, clock, lease_time, origin, started.partitions, started.level
        )
