"""Recent cancellations, and up to which of them each partition has read: refreshed once a turn for all partitions."""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from clarion.domain.limits_processes import CANCELLATIONS_PER_READ_MAX, CANCELLED_KEPT_MAX
from clarion.plan.wait_facts import NewCancellations
from clarion.plan.workflow.instance_step import CANCELLATIONS_READ_CELL
from clarion.ports.stage_store import Lease, StageStore
from clarion.runtime.metering import together


class _ReadUpTo(NamedTuple):
    """The sequence up to which a partition has read cancellations, and the fence of the lease under which that was read
    or written."""

    fence: int
    sequence: int


class CancellationLog:
    """Cancellations as one process has read them. A step that starts anything in a partition must have all
    cancellations that the partition has already read: the partition never reads them again."""

    def __init__(self, store: StageStore) -> None:
        self._store = store
        self._sequence = 0
        self._subjects: dict[bytes, int] = {}
        """Cancelled subjects, each with the sequence at which it was read."""
        self._learned: deque[NewCancellations] = deque()
        """The result of each read, the oldest first."""
        self._count = 0
        """Number of subjects in the cached reads; subjects cancelled again count each time."""
        self._forgotten = 0
        """Sequence up to which reads have been dropped."""
        self._read_up_to: dict[int, _ReadUpTo] = {}
        self._reading: dict[int, _ReadUpTo] = {}
        """Positions of partitions once the step under way is durable."""

    async def refresh(self, leases: Iterable[Lease] = ()) -> None:
        """Read the cancellations since the last call, and the positions of the partitions of new leases."""
        new = [lease for lease in leases if not self._knows(lease)]
        await (together(self._read_new(), self._read_positions(new)) if new else self._read_new())

    def cancelled_of(self, ids: Iterable[bytes]) -> frozenset[bytes]:
        """Return the notifications that are known to be cancelled."""
        return frozenset(id_ for id_ in ids if id_ in self._subjects) if self._subjects else _NONE

    def needs_cancellations(self, lease: Lease) -> bool:
        """Return whether a partition has unread cancellations."""
        if not self._knows(lease):
            return False
        read_up_to = self._read_up_to[lease.partition].sequence
        return read_up_to < self._forgotten or (bool(self._learned) and read_up_to < self._learned[-1].sequence)

    async def new_cancellations(self, lease: Lease) -> NewCancellations | None:
        """Return the partition's unread cancellations, None without any; call `mark_read` once the step that handles
        them is durable. Reads from the store only for a partition that is new here or very far behind."""
        if not self._knows(lease):
            await self._read_positions([lease])
        read_up_to = self._read_up_to[lease.partition].sequence
        if self._sequence < read_up_to:
            await self._read_new()
        new_cancellations = await self._read(read_up_to) if read_up_to < self._forgotten else self._kept(read_up_to)
        if new_cancellations is not None and self._sequence < new_cancellations.sequence:
            await self._read_new()
        if new_cancellations is None:
            self._reading.pop(lease.partition, None)
        else:
            self._reading[lease.partition] = _ReadUpTo(lease.fence, new_cancellations.sequence)
        return new_cancellations

    def mark_read(self, lease: Lease) -> None:
        """Mark the last result of `new_cancellations` for a partition as handled durably."""
        reading = self._reading.pop(lease.partition, None)
        if reading is not None and reading.fence == lease.fence:
            self._read_up_to[lease.partition] = reading

    def _knows(self, lease: Lease) -> bool:
        known = self._read_up_to.get(lease.partition)
        return known is not None and known.fence == lease.fence

    async def _read_positions(self, leases: Collection[Lease]) -> None:
        found = await self._store.cells_of([(lease.partition, CANCELLATIONS_READ_CELL) for lease in leases])
        for lease in leases:
            value = found.get((lease.partition, CANCELLATIONS_READ_CELL)) or b""
            self._read_up_to[lease.partition] = _ReadUpTo(lease.fence, int.from_bytes(value, "big"))

    async def _read_new(self) -> None:
        more = True
        while more:
            self._sequence, subjects = await self._store.cancellations_after(self._sequence)
            if subjects:
                self._subjects.update(dict.fromkeys(subjects, self._sequence))
                self._learned.append(NewCancellations(self._sequence, tuple(subjects)))
            more = len(subjects) == CANCELLATIONS_PER_READ_MAX
            self._count += len(subjects)
        while self._count > CANCELLED_KEPT_MAX:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._learned.popleft()
        self._forgotten = oldest.sequence
        self._count -= len(oldest.subjects)
        for subject in oldest.subjects:
            if self._subjects.get(subject) == oldest.sequence:  # else it has been cancelled again since
                del self._subjects[subject]

    def _kept(self, read_up_to: int) -> NewCancellations | None:
        """Return the cached cancellations after a sequence, at most as many as one read returns, the oldest first; None
        without any. Some may have been handled before: ending a subject twice has no effect."""
        parts: list[NewCancellations] = []
        for part in reversed(self._learned):
            if part.sequence <= read_up_to:
                break
            parts.append(part)
        subjects: list[bytes] = []
        sequence = read_up_to
        for part in reversed(parts):
            if subjects and len(subjects) + len(part.subjects) > CANCELLATIONS_PER_READ_MAX:
                break
            subjects += part.subjects
            sequence = part.sequence
        return NewCancellations(sequence, tuple(subjects)) if subjects else None

    async def _read(self, read_up_to: int) -> NewCancellations | None:
        sequence, subjects = await self._store.cancellations_after(read_up_to)
        return NewCancellations(sequence, tuple(subjects)) if subjects else None


_NONE: Final[frozenset[bytes]] = frozenset()
