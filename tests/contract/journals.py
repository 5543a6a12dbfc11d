"""Helpers of the suites of streams and stage stores: a manual clock, the backends, and builders of appends."""

from collections.abc import Callable
from pathlib import Path

from clarion.ports.clock import Clock
from clarion.ports.stage_store import Cursor, Lease, StageResult, Timer
from clarion.ports.streams import Frame
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.postgres.journal import JournalStart, PostgresJournal, start
from clarion.stores.postgres.pool import Database
from clarion.stores.sqlite.journal import SqliteJournal, open_journal
from tests.engines.postgres import database_of, in_thread
from tests.look import Look
from tests.stores import prepared

Journal = MemoryJournal | SqliteJournal | PostgresJournal
"""a backend that is both streams and stage store."""

PARTITIONS = 4
START_MS = 1_700_000_000_000
TTL_MS = 10_000


class VirtualClock:
    """A clock that tests move; wall and monotonic time can be moved separately."""

    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.machine_ms = 50_000

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> int:
        return self.machine_ms

    def entropy(self, size: int) -> bytes:
        return bytes(size)

    def jitter(self) -> float:
        return 0.5

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.machine_ms += ms


def memory(_data_dir: Path, clock: Clock, partitions: int = PARTITIONS) -> Journal:
    return MemoryJournal(clock, partitions)


def sqlite(data_dir: Path, clock: Clock, partitions: int = PARTITIONS) -> Journal:
    return open_journal(prepared(data_dir, "journal"), clock, partitions)


def postgres(data_dir: Path, clock: Clock, partitions: int = PARTITIONS) -> Journal:
    dsn = database_of(data_dir)
    return PostgresJournal(Database(dsn), clock, in_thread(_start(dsn, partitions)), clock.monotonic_ms)


async def _start(dsn: str, partitions: int) -> JournalStart:
    database = Database(dsn)
    try:
        return await start(database, partitions)
    finally:
        await database.close()


Opener = Callable[..., Journal]
"""Opens a backend over a folder, under a clock, with a number of partitions unless the usual one will do."""

EMBEDDED: dict[str, Opener] = {"memory": memory, "sqlite": sqlite}
"""The backends whose reads return without waiting."""

BACKENDS: dict[str, Opener] = {**EMBEDDED, "postgres": postgres}


def frame(topic: str = "t", partition: int = 0, payload: bytes = b"x", count: int = 1) -> Frame:
    return Frame(topic, partition, count, payload)


def frames(*payloads: bytes, topic: str = "t", partition: int = 0) -> StageResult:
    return StageResult(frames=[frame(topic, partition, payload) for payload in payloads])


def timer(name: bytes, due_ms: int, topic: str = "t", partition: int = 0) -> Timer:
    return Timer(name, due_ms, topic, partition, b"timer " + name)


def cursor(name: bytes = b"c", partition: int = 0, created_ms: int = START_MS, status: str = "running") -> Cursor:
    return Cursor(name, "acme", partition, status, 0, 0, 0, 0, created_ms, created_ms, b"job")


async def held(journal: Journal, group: str = "g", partition: int = 0, owner: str = "me") -> Lease:
    """Acquire a lease that must be free, and return it."""
    lease = await journal.acquire(group, partition, owner, TTL_MS)
    assert lease is not None
    return lease


async def offsets(journal: Journal, topic: str = "t", partition: int = 0) -> list[int]:
    return [stored.offset for stored in await Look(journal).read(topic, partition, 0)]


async def payloads(journal: Journal, topic: str = "t", partition: int = 0) -> list[bytes]:
    return [stored.payload for stored in await Look(journal).read(topic, partition, 0)]


def repeating(_data_dir: Path, clock: Clock, partitions: int = PARTITIONS) -> Journal:
    """Return a store whose carrier repeats the last frames of a stream, at new offsets."""
    return MemoryJournal(clock, partitions, repeats=3)


CARRIERS: dict[str, Opener] = {**BACKENDS, "repeating": repeating}
