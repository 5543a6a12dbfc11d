"""What was cancelled lately, and how far each partition has looked at it: learned once a turn for all partitions."""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from clarion.domain.limits import CANCELLATIONS_PER_READ_MAX
from clarion.domain.limits_deciding import CANCELLED_KEPT_MAX
from clarion.plan.wait_facts import CancelledNews
from clarion.plan.workflow.turn import LOOKED_CELL
from clarion.ports.metering import together
from clarion.ports.stage_store import Lease, StageStore


class _Looked(NamedTuple):
    """How far a partition has looked, and the fence under which that was read or written."""

    fence: int
    sequence: int


class Cancelled:
    """Cancellations as one process knows them. Whoever starts anything in a partition has to know of all that the partition has
    looked at: it never looks at them again."""

    def __init__(self, store: StageStore) -> None:
        self._store = store
        self._sequence = 0
        self._subjects: dict[bytes, int] = {}
        """With the sequence at which each was learned."""
        self._learned: deque[CancelledNews] = deque()
        """What each read brought, the oldest first."""
        self._count = 0
        """How many subjects all reads brought that are kept, those that were cancelled again counted each time."""
        self._forgotten = 0
        """Up to which sequence nothing is kept."""
        self._looked: dict[int, _Looked] = {}
        self._looking: dict[int, _Looked] = {}
        """How far partitions will have looked once the step under way is durable."""

    async def learn(self, leases: Iterable[Lease] = ()) -> None:
        """Learn what was cancelled since the last call, and how far the partitions of new leases have looked."""
        new = [lease for lease in leases if not self._knows(lease)]
        await (together(self._learn(), self._meet(new)) if new else self._learn())

    def among(self, ids: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of the notifications that are known to be cancelled."""
        return frozenset(id_ for id_ in ids if id_ in self._subjects) if self._subjects else _NONE

    def is_behind(self, lease: Lease) -> bool:
        """Return whether a partition has to look at what was cancelled."""
        if not self._knows(lease):
            return False
        looked = self._looked[lease.partition].sequence
        return looked < self._forgotten or (bool(self._learned) and looked < self._learned[-1].sequence)

    async def news(self, lease: Lease) -> CancelledNews | None:
        """Return what the partition has to look at; `looked` has to be called once that is durable. Reads only where a partition
        is new here, or very far behind."""
        if not self._knows(lease):
            await self._meet([lease])
        looked = self._looked[lease.partition].sequence
        if self._sequence < looked:
            await self._learn()
        news = await self._read(looked) if looked < self._forgotten else self._kept(looked)
        if news is not None and self._sequence < news.sequence:
            await self._learn()
        if news is None:
            self._looking.pop(lease.partition, None)
        else:
            self._looking[lease.partition] = _Looked(lease.fence, news.sequence)
        return news

    def looked(self, lease: Lease) -> None:
        """Say that what the last `news` of a partition returned is dealt with for good."""
        looking = self._looking.pop(lease.partition, None)
        if looking is not None and looking.fence == lease.fence:
            self._looked[lease.partition] = looking

    def _knows(self, lease: Lease) -> bool:
        known = self._looked.get(lease.partition)
        return known is not None and known.fence == lease.fence

    async def _meet(self, leases: Collection[Lease]) -> None:
        found = await self._store.cells_of([(lease.partition, LOOKED_CELL) for lease in leases])
        for lease in leases:
            value = found.get((lease.partition, LOOKED_CELL)) or b""
            self._looked[lease.partition] = _Looked(lease.fence, int.from_bytes(value, "big"))

    async def _learn(self) -> None:
        more = True
        while more:
            self._sequence, subjects = await self._store.cancellations_after(self._sequence)
            if subjects:
                self._subjects.update(dict.fromkeys(subjects, self._sequence))
                self._learned.append(CancelledNews(self._sequence, tuple(subjects)))
            more = len(subjects) == CANCELLATIONS_PER_READ_MAX
            self._count += len(subjects)
        while self._count > CANCELLED_KEPT_MAX:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._learned.popleft()
        self._forgotten = oldest.sequence
        self._count -= len(oldest.subjects)
        for subject in oldest.subjects:
            if self._subjects.get(subject) == oldest.sequence:  # else it was cancelled again since
                del self._subjects[subject]

    def _kept(self, looked: int) -> CancelledNews | None:
        """Return what was learned behind a sequence, as much as one read brings, the oldest first. Some of it may be from before:
        what was ended is not ended twice."""
        parts: list[CancelledNews] = []
        for part in reversed(self._learned):
            if part.sequence <= looked:
                break
            parts.append(part)
        subjects: list[bytes] = []
        sequence = looked
        for part in reversed(parts):
            if subjects and len(subjects) + len(part.subjects) > CANCELLATIONS_PER_READ_MAX:
                break
            subjects += part.subjects
            sequence = part.sequence
        return CancelledNews(sequence, tuple(subjects)) if subjects else None

    async def _read(self, looked: int) -> CancelledNews | None:
        sequence, subjects = await self._store.cancellations_after(looked)
        return CancelledNews(sequence, tuple(subjects)) if subjects else None


_NONE: Final[frozenset[bytes]] = frozenset()
