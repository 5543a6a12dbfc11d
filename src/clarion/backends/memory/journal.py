"""The referee model of the journal: streams and stage store in lists and dictionaries of one process."""

from collections.abc import Sequence

from clarion.backends.memory.stage_store import MemoryStageStore
from clarion.backends.memory.streams import MemoryStreams
from clarion.domain.limits import CANCELLATIONS_PER_READ_MAX, PARTITIONS_MAX
from clarion.ports.clock import Clock
from clarion.ports.journal import Append, JournalTraits
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import Cursor, IdempotencyEntry, Position


class MemoryJournal(MemoryStreams, MemoryStageStore):
    """Implements `ports.journal.Journal` for one process and one event loop. `repeats` is that of `MemoryStreams`."""

    traits = JournalTraits(
        atomic_append=True,
        survives_process_kill=False,
        survives_power_loss=False,
        failure_model=MemoryStageStore.store_traits.failure_model,
    )

    def __init__(self, clock: Clock, partitions: int, *, repeats: int = 0) -> None:
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
        MemoryStreams.__init__(self, clock, partitions, repeats)
        MemoryStageStore.__init__(self, clock, partitions, self)

    async def append(self, batch: Append) -> list[int]:
        """Store the batch and return the offsets of its frames. Raises `StaleLease`, `StaleCursor`,
        `StaleKey` or `StaleCaps`."""
        return self._store(batch)

    def committed(self, group: str, partition: int) -> dict[str, Position]:
        """Return the group's committed position per topic."""
        return {topic: at for (g, p, topic), at in self._positions.items() if (g, p) == (group, partition)}

    def backlog(self, group: str) -> int:
        """Return how many events the group has not committed yet."""
        return self._backlog(group)

    def next_due_ms(self) -> int | None:
        """Return when the earliest timer is due."""
        return self._due[0][0] if self._due else None

    def cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the sequence number to go on from and the subject ids cancelled after `sequence`."""
        later = [(n, c.subject_id) for n, c in self._cancellations if n > sequence][:CANCELLATIONS_PER_READ_MAX]
        return (later[-1][0] if later else sequence), [subject_id for _, subject_id in later]

    def idempotency(self, tenant: str, key: str, now_ms: int) -> IdempotencyEntry | None:
        """Return the remembered entry of a key that has not expired."""
        entry = self._idempotency.get((tenant, key))
        return entry if entry is not None and entry.expires_ms > now_ms else None

    def cursor(self, cursor_id: bytes) -> Cursor | None:
        """Return a cursor by id."""
        return self._cursors.get(cursor_id)

    def cursors(self, partition: int | None = None, status: str | None = None) -> list[Cursor]:
        """Return cursors, oldest first, filtered by partition and status."""
        found = (c for c in self._cursors.values() if partition in (None, c.partition) and status in (None, c.status))
        return sorted(found, key=lambda cursor: (cursor.created_ms, cursor.cursor_id))

    def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of the keys that have one."""
        return self._cells.cells(partition, keys)

    def cells_under(self, partition: int, prefix: bytes, limit: int, after: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Return cells whose keys begin with `prefix` and stand above `after`, in order."""
        return self._cells.cells_under(partition, prefix, limit, after)

    def waits(self, tenant: str, key: bytes, limit: int = 1_000) -> list[Wait]:
        """Return who waits for a key, those that expired left out."""
        return self._cells.waits(tenant, key, self._clock.now_ms(), limit)

    def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        """Return the cap times of those of the blocks that someone wrote."""
        return self._cells.caps(tenant, rule, blocks)
