"""The stage store in `journal.db`: one transaction per commit, which also stores the frames."""

import json
from collections.abc import Collection, Mapping, Sequence

from clarion.ports.clock import Clock
from clarion.ports.feature_level import check_level
from clarion.ports.journal_cells import Wait
from clarion.ports.regroup import Placement
from clarion.ports.stage_store import (
    AtWork,
    Committed,
    Cursor,
    IdempotencyEntry,
    IntentEntry,
    Lease,
    Position,
    StageResult,
    StageStoreTraits,
)
from clarion.stores.sqlite import journal_leases as leases
from clarion.stores.sqlite import journal_processes as processes
from clarion.stores.sqlite import journal_trim
from clarion.stores.sqlite.journal_append import Transaction
from clarion.stores.sqlite.journal_reader import JournalReader
from clarion.stores.sqlite.journal_regroup import check_free, regroup
from clarion.stores.sqlite.journal_writer import GroupCommit


class SqliteStageStore:
    """Implements `ports.stage_store.StageStore`. Used from one event loop."""

    store_traits = StageStoreTraits(
        survives_process_kill=True,
        survives_power_loss=True,
        failure_model=(
            "A commit returns after it was fsynced, so nothing acknowledged is lost as long as the disk keeps "
            "what fsync promised; losing the one disk loses the journal."
        ),
    )

    def __init__(
        self, reader: JournalReader, writer: GroupCommit[Transaction], clock: Clock, partitions: int, level: int
    ) -> None:
        self.partitions = partitions
        self._level = level
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def commit(self, result: StageResult) -> Committed:
        """Store a step durably. Return the offsets of its frames and, if requested, the cancelled ids."""
        return await self._writer.run(lambda transaction: transaction.commit(result), may_wait_ms=result.may_wait_ms)

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Return a lease that was free, expired or the owner's own, with a new fence; None while another owner holds
        it."""
        return await self._writer.run(
            lambda tx: leases.acquire(tx.db, group, partition, owner, ttl_ms, tx.monotonic_ms)
        )

    async def renew(self, held: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held."""
        # Needs no fsync: after a loss of power no lease is held.
        return await self._writer.run(lambda tx: leases.renew(tx.db, held, ttl_ms, tx.monotonic_ms), synced=False)

    async def release(self, held: Sequence[Lease]) -> None:
        """Release leases at once."""
        await self._writer.run(lambda tx: leases.release(tx.db, held))

    async def release_dead(self, owners: Collection[str]) -> int:
        """Expire the leases of dead owners at once and return how many had not expired yet."""
        return await self._writer.run(lambda tx: leases.vacate(tx.db, owners, tx.monotonic_ms))

    async def at_work(self) -> AtWork:
        """Return who is at work."""
        return self._reader.at_work(self._clock.monotonic_ms())

    def feature_level(self) -> int:
        """Return the level up to which every process reads, as this process last read it."""
        return self._level

    async def enroll(self, process: str, level: int, ttl_ms: int) -> int:
        """Say that a process is at work and reads up to a level, and return the level of the store."""
        # Needs no fsync: what is written by the level is, and the level with it, as it is before it in the log.
        found = await self._writer.run(
            lambda tx: processes.enroll(tx.db, process, level, ttl_ms, tx.monotonic_ms), synced=False
        )
        self._level = check_level(found, level)
        return found

    async def withdraw(self, process: str) -> None:
        """Say that a process has ended."""
        await self._writer.run(lambda tx: processes.withdraw(tx.db, process), synced=False)

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many."""
        return await self._writer.run(lambda tx: tx.fire(now_ms, limit))

    async def next_due(self) -> int | None:
        """Return when the earliest timer is due, or None without timers."""
        return self._reader.next_due_ms()

    async def positions(self, group: str, partitions: Collection[int]) -> dict[int, dict[str, Position]]:
        """Return the group's committed positions by partition and topic."""
        return {partition: self._reader.committed(group, partition) for partition in partitions}

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order."""
        return self._reader.open_intents(group, partition, after)

    async def backlog_of(self, groups: Collection[str]) -> dict[str, int]:
        """Return the number of events that each group has not committed yet."""
        return {group: self._reader.backlog(group, self.partitions) for group in groups}

    async def cancellations_after(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the next sequence number to read after and the subject ids cancelled after `sequence`."""
        return self._reader.cancelled_since(sequence)

    async def remembered(
        self, keys: Collection[tuple[str, str]], now_ms: int
    ) -> dict[tuple[str, str], IdempotencyEntry]:
        """Return the entries of the keys, by (tenant, key), without expired ones."""
        found = ((place, self._reader.idempotency(*place, now_ms)) for place in keys)
        return {place: entry for place, entry in found if entry is not None}

    async def cursors_by_id(self, cursor_ids: Collection[bytes]) -> dict[bytes, Cursor]:
        """Return cursors by id."""
        found = ((cursor_id, self._reader.cursor(cursor_id)) for cursor_id in cursor_ids)
        return {cursor_id: cursor for cursor_id, cursor in found if cursor is not None}

    async def cursors_in(self, partitions: Collection[int], status: str | None = None) -> list[Cursor]:
        """Return the cursors of some partitions, oldest first, filtered by status."""
        return [cursor for cursor in self._reader.cursors(None, status) if cursor.partition in partitions]

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was changed."""
        values = (status, now_ms, cursor_id, json.dumps(list(allowed_from)))
        return await self._writer.run(lambda tx: tx.set_cursor_status(values))

    async def cells_of(self, keys: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], bytes]:
        """Return the values of those of the keys that exist."""
        by_partition: dict[int, list[bytes]] = {}
        for partition, key in keys:
            by_partition.setdefault(partition, []).append(key)
        return {
            (partition, key): value
            for partition, some in by_partition.items()
            for key, value in self._reader.cells(partition, some).items()
        }

    async def cells_page(
        self, partition: int, prefix: bytes, limit: int, after: bytes = b""
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` cells whose keys begin with `prefix` and are above `after`, in order."""
        return self._reader.cells_under(partition, prefix, limit, after)

    async def waits_of(
        self, keys: Collection[tuple[str, bytes]], limit: int = 1_000
    ) -> dict[tuple[str, bytes], list[Wait]]:
        """Return the waits for each of the keys, without expired ones."""
        now_ms = self._clock.now_ms()
        found = ((place, self._reader.waits(*place, now_ms, limit)) for place in keys)
        return {place: waits for place, waits in found if waits}

    async def caps_of(self, blocks: Mapping[tuple[str, bytes], Collection[int]]) -> dict[tuple[str, bytes, int], bytes]:
        """Return the cap times of those of the blocks that exist."""
        return {
            (*rule, block): times
            for rule, some in blocks.items()
            for block, times in self._reader.caps(*rule, list(some)).items()
        }

    async def trim(self, older_than_ms: int) -> int:
        """Delete old frames that every group has committed, expired idempotency entries and waits, and old
        cancellations. Return the number of deleted frames."""
        frames = 0
        while trimmed := await self._writer.run(lambda tx: journal_trim.trim_frames(tx.db, older_than_ms)):
            frames += trimmed
        while await self._writer.run(lambda tx: journal_trim.trim_entries(tx.db, older_than_ms, tx.now_ms)):
            pass
        return frames

    async def check_alone(self) -> None:
        """Raise `OperatorError` while a lease is held."""
        await self._writer.run(check_free)

    async def regroup(self, placement: Placement, recorded: Mapping[int, int]) -> None:
        """Move every row to its place with another number of partitions, in one transaction."""
        await self._writer.run(lambda tx: regroup(tx, placement, recorded))
        self.partitions = placement.after

    async def close(self) -> None:
        """Finish queued commits and close."""
        self._reader.close()  # first: the last connection to close checkpoints the write-ahead log into the file
        await self._writer.close()
