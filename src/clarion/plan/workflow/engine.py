"""The workflow engine: what a batch of frames does to the instances of one partition, as parts of the step's one append.

All that an instance knows lies in its cell, and every step reads cells, writes them and sets timers in the append that
commits the frames which moved it. So whatever dies, an instance has made a move whole or not at all. An exception in a
move ends the one instance as failed; the others of the partition go on.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES, partition_for
from clarion.domain.limits_deciding import SIGNAL_WAITS_MAX
from clarion.journal.events import AcceptedFrame, AdvanceFrame, Event, Recipient, SignalFrame
from clarion.plan.columns import Accepted
from clarion.plan.rules.workflow.state import Answered, Begin, Cause, Due, Happened, State
from clarion.plan.workflow.cancelled import Cancelled
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.fetching import FetchJob
from clarion.plan.workflow.instance import (
    INSTANCE_CELL,
    AdvanceRow,
    Instance,
    Start,
    advance_rows,
    instance_id,
    owner_of,
    start_frames,
)
from clarion.plan.workflow.mover import Mover
from clarion.plan.workflow.outbox import of_subject
from clarion.ports.directory import Directory
from clarion.ports.expressions import Expressions
from clarion.ports.journal import Cell, Frame, Journal, Timer, Wait, WaitEnd
from clarion.ports.sightings import Sightings
from clarion.ports.telemetry import Telemetry

_CANCEL_KEY: Final = b"c"
"""How keys of `signals.cancel_key` begin."""
_START: Final = msgspec.msgpack.Decoder(Start)
_ANSWER: Final = msgspec.msgpack.Decoder(Answered)


class Engine:
    """Advances the instances of one process."""

    def __init__(
        self,
        journal: Journal,
        directory: Directory,
        expressions: Expressions,
        sightings: Sightings,
        telemetry: Telemetry,
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._expressions = expressions
        self._sightings = sightings
        self._telemetry = telemetry
        self._cancelled = Cancelled(journal)

    def turn(self, partition: int, now_ms: int) -> "Turn":
        """Return the turn of a partition at a time (Unix ms): what one batch does to its instances. Those of notifications
        that were cancelled since its last turn end first."""
        self._cancelled.refresh()
        cells = Cells(self._journal, partition)
        mover = Mover(
            cells,
            self._directory,
            self._expressions,
            self._sightings,
            self._cancelled,
            self._telemetry,
            partition,
            now_ms,
        )
        turn = Turn(self._journal, self._telemetry, self._cancelled, cells, mover, partition, now_ms)
        turn.cancel(self._cancelled.look(cells))
        return turn


class Turn:
    """What one batch does to the instances of its partition; it sees its own writes. Nothing is kept unless all of it is
    appended."""

    def __init__(
        self,
        journal: Journal,
        telemetry: Telemetry,
        cancelled: Cancelled,
        cells: Cells,
        mover: Mover,
        partition: int,
        now_ms: int,
    ) -> None:
        self._journal = journal
        self._telemetry = telemetry
        self._cancelled = cancelled
        self._cells = cells
        self._mover = mover
        self._partition = partition
        self._now_ms = now_ms
        self.frames: list[Frame] = []
        self.cells: list[Cell] = []

    @property
    def sends(self) -> list[Accepted]:
        """Notifications that steps send, to be planned in the same batch."""
        return self._mover.outbox.sends

    @property
    def timers(self) -> list[Timer]:
        """Timers to set."""
        return [*self._mover.outbox.timers, *self._mover.digests.timers]

    @property
    def waits(self) -> list[Wait]:
        """Waits to set."""
        return self._mover.outbox.waits

    @property
    def ended_waits(self) -> list[WaitEnd]:
        """Waits to end."""
        return self._mover.outbox.ended_waits

    @property
    def fetches(self) -> list[FetchJob]:
        """Calls to make once everything is durable."""
        return self._mover.outbox.fetches

    def foresee(self, events: Iterable[Event]) -> None:
        """Read what moving the instances of these frames will need, in few queries. It saves time and nothing else."""
        keys: list[bytes] = []
        users: list[tuple[str, str]] = []
        for event in events:
            if isinstance(event, AdvanceFrame):
                keys += event.instance_ids
                for tenant, cause, payload in zip(event.tenants, event.causes, event.payloads, strict=True):
                    if cause == "start":
                        users.append((tenant, _START.decode(payload).origin.to[0].user_id))
            elif isinstance(event, AcceptedFrame):
                columns = zip(event.notification_ids, event.tenants, event.requests, strict=True)
                started = [(id_, tenant, to) for id_, tenant, asked in columns if asked.workflow for to in asked.to]
                keys += [instance_id(id_, to) for id_, _, to in started]
                users += [(tenant, to.user_id) for _, tenant, to in started]
        self._cells.load(INSTANCE_CELL + key for key in keys)
        known = (self._mover.get(key) for key in keys)
        users += [(instance.tenant, instance.recipient.user_id) for instance in known if instance is not None]
        self._mover.people.load(users)

    def start(self, item: Accepted) -> None:
        """Start an instance for each recipient; one whose user another partition owns is started there."""
        partitions = self._journal.partitions
        mine: list[Recipient] = []
        others: list[Recipient] = []
        for to in item.request.to:
            here = partition_for(item.tenant, owner_of(to), partitions) == self._partition
            (mine if here else others).append(to)
        self.frames += start_frames(item, others, partitions)
        for to in mine:
            origin = msgspec.structs.replace(item.request, to=[to])
            self._begin(instance_id(item.notification_id, to), item.lane, item.tenant, Start(item.accepted_ms, origin))
        self._mover.settle()

    def advance(self, lane: Lane, frame: AdvanceFrame) -> None:
        """Move the instances of a frame, each by its cause. One that is gone or has gone on stays as it is."""
        for row in advance_rows(frame):
            self._advance(lane, row)
            self._mover.settle()

    def signal(self, lane: Lane, frame: SignalFrame) -> None:
        """Tell the instances of this partition that wait for what happened; end those it cancels."""
        for tenant, key, data in zip(frame.tenants, frame.keys, frame.data, strict=True):
            subjects = [wait.subject for wait in self._journal.waits(tenant, key, SIGNAL_WAITS_MAX)]
            if key.startswith(_CANCEL_KEY):
                self.cancel(subjects)
                continue
            for subject in subjects:
                self._move_at(*of_subject(subject), Happened(data))
                self._mover.settle()

    def cancel(self, notification_ids: Iterable[bytes]) -> None:
        """End the instances of these notifications that live in this partition."""
        for notification_id in notification_ids:
            for key, _ in self._cells.under(INSTANCE_CELL + notification_id):
                self._mover.end(key[len(INSTANCE_CELL) :], "cancelled")

    def finish(self) -> None:
        """Put everything that is to be written into `cells` and `frames`."""
        self.cells = self._cells.writes()
        self.frames += self._mover.progress.frames(self._partition)
        for event, number in self._mover.progress.counts.items():
            self._telemetry.count("workflow_events", number, event=event)

    def _begin(self, id_: bytes, lane: Lane, tenant: str, start: Start) -> None:
        if self._mover.get(id_) is not None:
            return
        origin = start.origin
        state = State(origin.workflow, origin.workflow_version, self._now_ms, origin.expires_ms)
        instance = Instance(tenant, lane, start.accepted_ms, origin, state)
        if id_[:NOTIFICATION_ID_BYTES] in self._cancelled:
            self._mover.end(id_, "cancelled", instance=instance)
            return
        self._mover.move(id_, instance, Begin())
        if self._mover.get(id_) is not None:
            self._mover.outbox.expire(id_, instance)

    def _advance(self, lane: Lane, row: AdvanceRow) -> None:
        match row.cause:
            case "start":
                self._begin(row.instance_id, lane, row.tenant, _START.decode(row.payload))
            case "timer":
                self._move_at(row.instance_id, row.seq, Due(row.at_ms))
            case "fetched":
                self._move_at(row.instance_id, row.seq, _ANSWER.decode(row.payload))
            case "digest":
                if self._mover.digests.due(row.payload, row.tenant, lane):
                    self._mover.close(row.payload)
            case "expire":
                self._expire(row)
            case "forget":
                self._mover.forget(row.payload, row.tenant, lane)
            case _:
                self._telemetry.log("error", "unknown_cause", cause=row.cause, tenant=row.tenant)

    def _move_at(self, id_: bytes, seq: int, cause: Cause) -> None:
        instance = self._mover.get(id_)
        if instance is not None and instance.state.seq == seq:
            self._mover.move(id_, instance, cause)

    def _expire(self, row: AdvanceRow) -> None:
        instance = self._mover.get(row.instance_id)
        if instance is None:
            return
        if self._now_ms >= row.at_ms:
            self._mover.end(row.instance_id, "expired")
        else:
            self._mover.outbox.expire(row.instance_id, instance)  # the clock was set back since the timer fired
