"""Where waiting work belongs when the number of partitions changes: with its user, schedule, broadcast chunk or notification,
as if the journal had always had that number."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from clarion.domain import ids
from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal.codec import decode, encode
from clarion.journal.events import (
    AcceptedFrame,
    AdvanceFrame,
    ChunkFrame,
    DeliverFrame,
    Event,
    OccurrenceFrame,
    Recipient,
    ResumeFrame,
    SignalFrame,
)
from clarion.journal.rows import deliver_rows
from clarion.journal.schedules import OCCURRENCE_CELL, latest_in, latest_key, schedule_partition
from clarion.journal.signals import user_of
from clarion.plan.resume import RESUME_CELL
from clarion.plan.rules.workflow.digest import Digest
from clarion.plan.workflow.digests import DIGEST_CELL, DIGEST_KEY_BYTES
from clarion.plan.workflow.instance import INSTANCE_CELL, AdvanceRow, Instance, advance_rows, recipient_key
from clarion.plan.workflow.instance_step import CANCELLATIONS_READ_CELL, START
from clarion.plan.workflow.mover import PASSES, THROTTLE_CELL
from clarion.ports.journal_cells import Cell, Wait
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame

_INSTANCE: Final = msgspec.msgpack.Decoder(Instance)
_DIGEST: Final = msgspec.msgpack.Decoder(Digest)


class Regrouping:
    """Implements `ports.regroup.Placement`."""

    def __init__(self, before: int, after: int) -> None:
        self.before = before
        self.after = after
        self._fewest = min(before, after) if before & (before - 1) == 0 else 1
        self._elsewhere: dict[bytes, int] = {}
        """Partitions of instances and of places in routes that are not in the partition of their notification."""
        self._members: dict[bytes, bytes] = {}
        """Keys of the digests that instances wait in."""
        self._digests: dict[bytes, int] = {}
        self._schedules: dict[bytes, int] = {}
        self._cancellations_read: dict[int, int] = {}

    def learn(self, cells: Sequence[Cell]) -> None:
        """Note the users of instances and digests, and which cancellations partitions have read."""
        for cell in cells:
            key, value = cell.key, cell.value or b""
            if key == CANCELLATIONS_READ_CELL:
                self._cancellations_read[cell.partition] = int.from_bytes(value, "big")
            elif key.startswith(DIGEST_CELL) and len(key) > DIGEST_KEY_BYTES:
                self._members[value] = key[:DIGEST_KEY_BYTES]
        for cell in cells:
            if cell.key.startswith(INSTANCE_CELL):
                instance = _decoded(cell)
                self._learn_instance(cell.key[len(INSTANCE_CELL) :], self._owner(instance.tenant, instance.recipient))

    def timers(self, timers: Iterable[Timer]) -> list[Timer]:
        """Return the timers in their places, and note the owners that they tell of."""
        placed: list[Timer] = []
        for timer in timers:
            places = self._places_of_timer(timer)
            for partition in places:
                timer_id = timer.timer_id if len(places) == 1 else timer.timer_id + bytes((partition,))
                placed.append(msgspec.structs.replace(timer, timer_id=timer_id, partition=partition))
        return placed

    def cells(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return the cells in their places; which cancellations were read is left to `last_cells`."""
        return [
            Cell(partition, cell.key, cell.value)
            for cell in cells
            if cell.key != CANCELLATIONS_READ_CELL
            for partition in self._places_of_cell(cell)
        ]

    def merged(self, key: bytes, one: bytes, other: bytes) -> bytes:
        """Return the newer one of two values: one may be a copy from a partition that did not own it."""
        newer: Callable[[bytes], Any] | None = None
        if key.startswith(THROTTLE_CELL):
            newer = _last_pass
        elif key.startswith(OCCURRENCE_CELL):
            newer = _latest
        elif key.startswith(DIGEST_CELL) and len(key) == DIGEST_KEY_BYTES:
            newer = _opened
        return one if newer is None else max(one, other, key=newer)

    def last_cells(self) -> list[Cell]:
        """Return up to where each partition has read cancellations: as far as all those before that it has instances of."""
        read: dict[int, int] = dict.fromkeys(range(self.after), 0)
        for partition in read:
            sources = [before for before in range(self.before) if partition in self._candidates(before)]
            read[partition] = min(self._cancellations_read.get(source, 0) for source in sources)
        return [Cell(at, CANCELLATIONS_READ_CELL, sequence.to_bytes(8, "big")) for at, sequence in read.items()]

    def waits(self, waits: Iterable[Wait]) -> list[Wait]:
        """Return the waits in their places: those of instances with their user, those for cancelling with their
        notification."""
        placed = []
        for wait in waits:
            user_id = user_of(wait.key)
            at = self.partition_of(wait.subject) if user_id is None else self._user(wait.tenant, user_id)
            placed.append(msgspec.structs.replace(wait, partition=at))
        return placed

    def partition_of(self, id_: bytes) -> int:
        """Return the partition of a notification or broadcast."""
        return ids.partition_of(id_, self.after)

    def frames(self, frame: Frame) -> list[Frame]:
        """Return the frames that hold a frame's events in their places. A damaged frame stays as it is, to be reported."""
        try:
            event = decode(frame.payload)
        except CorruptFrame:
            return [_at(frame, frame.partition % self.after)]
        if isinstance(event, ChunkFrame):
            return [_at(frame, event.chunk_id[-1] % self.after)]
        if isinstance(event, SignalFrame):
            return [_at(frame, partition) for partition in self._candidates(frame.partition)]
        rows: dict[int, list[int]] = {}
        for row, places in enumerate(self._places(event, frame.partition)):
            for partition in places:
                rows.setdefault(partition, []).append(row)
        if len(rows) == 1:
            return [_at(frame, partition) for partition in rows]
        return [
            Frame(frame.topic, partition, len(some), encode(_taken(event, some), len(some)))
            for partition, some in sorted(rows.items())
        ]

    def _places_of_timer(self, timer: Timer) -> Sequence[int]:
        try:
            event = decode(timer.payload)
        except CorruptFrame:
            return (timer.partition % self.after,)
        if isinstance(event, ChunkFrame):
            return (event.chunk_id[-1] % self.after,)
        if isinstance(event, SignalFrame):
            return self._candidates(timer.partition)
        (places,) = self._places(event, timer.partition)
        if isinstance(event, ResumeFrame) and places[0] != self.partition_of(event.notification_ids[0]):
            self._elsewhere[event.tags[0]] = places[0]
        if isinstance(event, OccurrenceFrame):
            self._schedules[latest_key(event.tenants[0], event.keys[0])] = places[0]
        return places

    def _places_of_cell(self, cell: Cell) -> Sequence[int]:
        key, kind = cell.key, cell.key[:1]
        if kind in (INSTANCE_CELL, RESUME_CELL):
            return (self._of_notification(key[1:]),)
        known = self._schedules.get(key)
        if kind == DIGEST_CELL:
            known = self._digests.get(key[:DIGEST_KEY_BYTES])
        return self._candidates(cell.partition) if known is None else (known,)

    def _places(self, event: Event, partition: int) -> list[Sequence[int]]:
        """Return the places of each row of a frame."""
        match event:
            case AcceptedFrame():
                return [(self.partition_of(id_),) for id_ in event.notification_ids]
            case AdvanceFrame():
                return [self._of_advance(row, partition) for row in advance_rows(event)]
            case ResumeFrame():
                return [(self._of_resume(event, row),) for row in range(len(event.notification_ids))]
            case OccurrenceFrame():
                named = zip(event.tenants, event.keys, strict=True)
                return [(schedule_partition(tenant, key, self.after),) for tenant, key in named]
            case DeliverFrame():
                return [(self._of_delivery(*row),) for row in _deliveries(event)]
            case _:
                return [(partition % self.after,)]

    def _of_advance(self, row: AdvanceRow, partition: int) -> Sequence[int]:
        if row.cause == "start":
            return (self._owner(row.tenant, START.decode(row.payload).origin.to[0]),)
        if row.cause == "digest":
            known = self._digests.get(row.payload)
            return self._candidates(partition) if known is None else (known,)
        return self._candidates(partition) if row.cause == "forget" else (self._of_notification(row.instance_id),)

    def _of_resume(self, frame: ResumeFrame, row: int) -> int:
        if frame.steps[row]:  # a step of a workflow belongs to its recipient
            return self._owner(frame.tenants[row], frame.requests[row].to[0])
        return self.partition_of(frame.notification_ids[row])

    def _of_delivery(
        self, id_: bytes, tenant: str, user_id: str, step: str, chunk: bytes | None, route: bytes | None
    ) -> int:
        if chunk is not None:
            return chunk[-1] % self.after
        if step and user_id:
            return self._user(tenant, user_id)
        resumed = decode(route) if step and route is not None else None
        return self._of_resume(resumed, 0) if isinstance(resumed, ResumeFrame) else self.partition_of(id_)

    def _of_notification(self, id_: bytes) -> int:
        return self._elsewhere.get(id_, self.partition_of(id_))

    def _owner(self, tenant: str, to: Recipient) -> int:
        return self._user(tenant, recipient_key(to))

    def _user(self, tenant: str, key: str) -> int:
        return ids.partition_for(tenant, key, self.after)

    def _learn_instance(self, id_: bytes, partition: int) -> None:
        if partition != self.partition_of(id_):
            self._elsewhere[id_] = partition
        digest = self._members.pop(id_, None)
        if digest is not None:
            self._digests[digest] = partition

    def _candidates(self, partition: int) -> Sequence[int]:
        """Return the partitions that may own what was in a partition before."""
        return range(partition % self._fewest, self.after, self._fewest)


def _decoded(cell: Cell) -> Instance:
    try:
        return _INSTANCE.decode(cell.value or b"")
    except msgspec.MsgspecError as error:
        raise UnknownFrame(f"an instance of another build cannot be read: {error}") from error


def _deliveries(frame: DeliverFrame) -> Iterable[tuple[bytes, str, str, str, bytes | None, bytes | None]]:
    for row in deliver_rows(frame):
        chunk = None if row.chunk is None else row.chunk[0]
        yield row.delivery_id, row.tenant, row.user_id, row.step, chunk, row.fallback


def _taken(event: Event, rows: Sequence[int]) -> Event:
    """Return the frame of some rows. Columns that an older frame lacks stay empty."""
    kind: Any = type(event)
    columns = (getattr(event, name) for name in event.__struct_fields__)
    taken: Event = kind(*([column[row] for row in rows] if column else [] for column in columns))
    return taken


def _at(frame: Frame, partition: int) -> Frame:
    return msgspec.structs.replace(frame, partition=partition)


def _last_pass(value: bytes) -> int:
    return max(PASSES.decode(value)[1], default=0)


def _latest(value: bytes) -> tuple[int, int]:
    latest = latest_in(value)
    return (0, 0) if latest is None else (latest.due_ms, latest.at_ms)


def _opened(value: bytes) -> tuple[int, int]:
    digest = _DIGEST.decode(value)
    return digest.opened_ms, digest.places
