"""The journal in one SQLite file, `journal.db`, shared by all processes of one machine.

Writes go through one group-commit thread per process, reads through a connection of the calling thread.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from clarion.backends.sqlite.connection import connect, fetch_all
from clarion.backends.sqlite.journal_append import Transaction
from clarion.backends.sqlite.journal_reader import Reader
from clarion.backends.sqlite.journal_writer import GroupCommit
from clarion.backends.sqlite.migrate import path_of, upgrade
from clarion.backends.sqlite.stage_store import SqliteStageStore
from clarion.backends.sqlite.streams import SqliteStreams
from clarion.domain.limits import PARTITIONS_MAX
from clarion.journal.watch import Growth
from clarion.ports.clock import Clock
from clarion.ports.journal import Append, JournalTraits
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import Cursor, IdempotencyEntry, Position
from clarion.ports.streams import StoredFrame

_WRITER_CACHE_KIB: Final = 16_384
_STATUS: Final = """UPDATE cursors SET status = ?, updated_ms = ?
    WHERE cursor_id = ? AND status IN (SELECT value FROM json_each(?)) RETURNING 1"""


def open_journal(data_dir: Path, clock: Clock, partitions: int) -> "SqliteJournal":
    """Bring `journal.db` to the newest schema and open it."""
    upgrade(data_dir, "journal")
    return SqliteJournal(data_dir, clock, partitions)


class SqliteJournal(SqliteStreams, SqliteStageStore):
    """Implements `ports.journal.Journal` over `journal.db` in `data_dir`, which must have been upgraded.

    `partitions` counts at the first start only; later starts keep what the file says. Used from one event loop.
    """

    traits = JournalTraits(
        atomic_append=True,
        survives_process_kill=SqliteStageStore.store_traits.survives_process_kill,
        survives_power_loss=SqliteStageStore.store_traits.survives_power_loss,
        failure_model=SqliteStageStore.store_traits.failure_model,
    )

    def __init__(self, data_dir: Path, clock: Clock, partitions: int) -> None:
        path = path_of(data_dir, "journal")
        db = connect(path, cache_kib=_WRITER_CACHE_KIB)
        partitions = _fixed_partitions(db, partitions)
        reader = Reader(connect(path, readonly=True))
        growth = Growth(reader.heads)
        writer = GroupCommit(db, lambda db: Transaction(db, clock.now_ms(), clock.monotonic_ms()), growth.grew)
        SqliteStreams.__init__(self, reader, writer, growth, partitions)
        SqliteStageStore.__init__(self, reader, writer, clock, partitions)

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

    def backlog(self, group: str) -> int:
        """Return how many events the group has not committed yet."""
        return self._reader.backlog(group, self.partitions)

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


def _fixed_partitions(db: apsw.Connection, partitions: int) -> int:
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
    db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('partitions', ?)", (partitions,))
    ((fixed,),) = fetch_all(db, "SELECT value FROM meta WHERE name = 'partitions'")
    return int(fixed)
