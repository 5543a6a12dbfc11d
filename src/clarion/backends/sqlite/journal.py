"""The journal in one SQLite file, `journal.db`, shared by all processes of one machine.

Writes go through one group-commit thread per process, reads through a connection of the calling thread.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import apsw

from clarion.backends.sqlite import journal_leases as leases
from clarion.backends.sqlite import journal_trim
from clarion.backends.sqlite.connection import connect, fetch_all
from clarion.backends.sqlite.journal_append import Transaction
from clarion.backends.sqlite.journal_reader import Reader
from clarion.backends.sqlite.journal_writer import GroupCommit
from clarion.backends.sqlite.migrate import path_of, upgrade
from clarion.domain.limits import PARTITIONS_MAX
from clarion.journal.watch import Growth, GrowthWatch, streams_of
from clarion.ports.clock import Clock
from clarion.ports.journal import (
    Append,
    Cursor,
    IdempotencyEntry,
    IntentEntry,
    JournalTraits,
    Lease,
    Position,
    StoredFrame,
    Wait,
)

_WRITER_CACHE_KIB: Final = 16_384
_STATUS: Final = """UPDATE cursors SET status = ?, updated_ms = ?
    WHERE cursor_id = ? AND status IN (SELECT value FROM json_each(?)) RETURNING 1"""


def open_journal(data_dir: Path, clock: Clock, partitions: int) -> "SqliteJournal":
    """Bring `journal.db` to the newest schema and open it."""
    upgrade(data_dir, "journal")
    return SqliteJournal(data_dir, clock, partitions)


class SqliteJournal:
    """Implements `ports.journal.Journal` over `journal.db` in `data_dir`, which must have been upgraded.

    `partitions` counts at the first start only; later starts keep what the file says. Used from one event loop.
    """

    traits = JournalTraits(
        atomic_append=True,
        survives_process_kill=True,
        survives_power_loss=True,
        failure_model=(
            "An append returns after its commit was fsynced, so nothing acknowledged is lost as long as the disk keeps "
            "what fsync promised; losing the one disk loses the journal."
        ),
    )

    def __init__(self, data_dir: Path, clock: Clock, partitions: int) -> None:
        path = path_of(data_dir, "journal")
        writer = connect(path, cache_kib=_WRITER_CACHE_KIB)
        self.partitions = _fixed_partitions(writer, partitions)
        self._clock = clock
        self._reader = Reader(connect(path, readonly=True))
        self._growth = Growth(self._reader.heads)
        self._writer = GroupCommit(writer, self._begin, self._growth.grew)

    async def append(self, batch: Append) -> list[int]:
        """Store the batch durably and return the offsets of its frames."""
        return await self._writer.run(lambda transaction: transaction.append(batch))

    def read(self, topic: str, partition: int, after: int, limit_frames: int = 64) -> list[StoredFrame]:
        """Return up to `limit_frames` frames with offsets above `after`, in order."""
        return self._reader.read(topic, partition, after, limit_frames)

    def since(self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        return self._reader.since(topic, partition, appended_ms, limit_frames)

    def head(self, topic: str, partition: int) -> int:
        """Return the newest offset of a stream, 0 when it is empty."""
        return self._reader.head(topic, partition)

    def committed(self, group: str, partition: int) -> dict[str, Position]:
        """Return the group's committed position per topic."""
        return self._reader.committed(group, partition)

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order."""
        return self._reader.open_intents(group, partition, after)

    def backlog(self, group: str) -> int:
        """Return how many events the group has not committed yet."""
        return self._reader.backlog(group, self.partitions)

    def watch(self, topics: Collection[str] = (), partition: int | None = None) -> GrowthWatch:
        """Return a watch of its own for one consumer loop."""
        self._writer.follow()
        partitions = range(self.partitions) if partition is None else (partition,)
        return self._growth.watch(streams_of(topics, partitions) if topics else None)

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Take a free or expired lease, or the owner's own, with a new fence; None while another owner holds it."""
        return await self._writer.run(
            lambda tx: leases.acquire(tx.db, group, partition, owner, ttl_ms, tx.monotonic_ms)
        )

    async def renew(self, held: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held."""
        return await self._writer.run(lambda tx: leases.renew(tx.db, held, ttl_ms, tx.monotonic_ms))

    async def release(self, held: Sequence[Lease]) -> None:
        """Give leases back at once."""
        await self._writer.run(lambda tx: leases.release(tx.db, held))

    async def vacate(self, owners: Collection[str]) -> int:
        """Let the leases of dead owners expire at once and return how many still ran."""
        return await self._writer.run(lambda tx: leases.vacate(tx.db, owners, tx.monotonic_ms))

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many."""
        return await self._writer.run(lambda tx: tx.fire(now_ms, limit))

    def next_due_ms(self) -> int | None:
        """Return when the earliest timer is due."""
        return self._reader.next_due_ms()

    def cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the sequence number to go on from and the subject ids cancelled after `sequence`."""
        return self._reader.cancelled_since(sequence)

    def idempotency(self, tenant: str, key: str, now_ms: int) -> IdempotencyEntry | None:
        """Return the remembered entry of a key that has not expired."""
        return self._reader.idempotency(tenant, key, now_ms)

    def cursor(self, cursor_id: bytes) -> Cursor | None:
        """Return a cursor by id."""
        return self._reader.cursor(cursor_id)

    def cursors(self, partition: int | None = None, status: str | None = None) -> list[Cursor]:
        """Return cursors, oldest first, filtered by partition and status."""
        return self._reader.cursors(partition, status)

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was."""
        values = (status, now_ms, cursor_id, json.dumps(list(allowed_from)))
        return await self._writer.run(lambda tx: bool(fetch_all(tx.db, _STATUS, values)))

    async def trim(self, older_than_ms: int) -> int:
        """Delete old frames that are done with, expired idempotency entries and old cancellations."""
        frames = 0
        while trimmed := await self._writer.run(lambda tx: journal_trim.trim_frames(tx.db, older_than_ms)):
            frames += trimmed
        while await self._writer.run(lambda tx: journal_trim.trim_entries(tx.db, older_than_ms, tx.now_ms)):
            pass
        return frames

    def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of the keys that have one."""
        return self._reader.cells(partition, keys)

    def cells_under(self, partition: int, prefix: bytes, limit: int, after: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Return cells whose keys begin with `prefix` and stand above `after`, in order."""
        return self._reader.cells_under(partition, prefix, limit, after)

    def waits(self, tenant: str, key: bytes, limit: int = 1_000) -> list[Wait]:
        """Return who waits for a key, those that expired left out."""
        return self._reader.waits(tenant, key, self._clock.now_ms(), limit)

    def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        """Return the cap times of those of the blocks that someone wrote."""
        return self._reader.caps(tenant, rule, blocks)

    async def close(self) -> None:
        """Finish appends under way and close."""
        self._reader.close()  # first: the last writer to leave folds the write-ahead log into the file
        await self._writer.close()

    def _begin(self, db: apsw.Connection) -> Transaction:
        return Transaction(db, self._clock.now_ms(), self._clock.monotonic_ms())


def _fixed_partitions(db: apsw.Connection, partitions: int) -> int:
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
    db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('partitions', ?)", (partitions,))
    ((fixed,),) = fetch_all(db, "SELECT value FROM meta WHERE name = 'partitions'")
    return int(fixed)
