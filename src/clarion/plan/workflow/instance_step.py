"""Workflow execution: the effects of a batch of frames on the instances of one partition, as parts of the step's
commit.

The whole state of an instance is in its cell, and every step reads cells, writes them and sets timers in the commit of
the frames that moved it. So even after a crash, an instance has made a move entirely or not at all. An exception in a
move ends that instance as failed; the other instances of the partition continue. Missing facts of a move are added to
`lacking`; the step is then discarded and decided again with more facts.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES, partition_for
from clarion.journal.events import AdvanceFrame, Recipient, SignalFrame
from clarion.plan.columns import PlanItem
from clarion.plan.notes import Notes
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.rules.workflow.state import Cause, FetchAnswered, SignalReceived, TimerFired, Triggered
from clarion.plan.wait_facts import WaitFacts
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.effects import of_subject
from clarion.plan.workflow.fetch_calls import FetchJob
from clarion.plan.workflow.instance import (
    INSTANCE_CELL,
    AdvanceRow,
    Start,
    advance_rows,
    begun,
    instance_id,
    recipient_key,
    start_frames,
)
from clarion.plan.workflow.mover import Mover
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import Cell, Wait, WaitEnd
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame

CANCEL_KEY: Final = b"c"
"""Prefix of the keys of `signals.cancel_key`."""
CANCELLATIONS_READ_CELL: Final = b"c"
"""Cell with the sequence up to which the partition has read cancellations, written in the same commit as their
effects."""
_SEQUENCE_BYTES: Final = 8
START: Final = msgspec.msgpack.Decoder(Start)
_ANSWER: Final = msgspec.msgpack.Decoder(FetchAnswered)


class InstanceStep:
    """The effects of one batch on the instances of its partition at a time (Unix ms); it sees its own writes. Nothing
    is stored unless all of it is committed."""

    def __init__(self, facts: WaitFacts, expressions: Expressions, notes: Notes, now_ms: int) -> None:
        self._facts = facts
        self._notes = notes
        self._now_ms = now_ms
        self._cells = Cells(facts)
        self._mover = Mover(facts, self._cells, expressions, notes, now_ms)
        self.lacking: list[Need] = []
        self.frames: list[Frame] = []
        self.cells: list[Cell] = []

    @property
    def sends(self) -> list[PlanItem]:
        """Notifications that steps send, to be planned in the same batch."""
        return self._mover.effects.sends

    @property
    def timers(self) -> list[Timer]:
        """Timers to set."""
        return [*self._mover.effects.timers, *self._mover.digests.timers]

    @property
    def waits(self) -> list[Wait]:
        """Waits to set."""
        return self._mover.effects.waits

    @property
    def ended_waits(self) -> list[WaitEnd]:
        """Waits to end."""
        return self._mover.effects.ended_waits

    @property
    def fetches(self) -> list[FetchJob]:
        """Calls to make once everything is durable."""
        return self._mover.effects.fetches

    def catch_up(self) -> None:
        """End the instances of notifications that were cancelled since the partition last read cancellations."""
        new_cancellations = self._facts.cancellations
        if new_cancellations is not None:
            self._cells.put(CANCELLATIONS_READ_CELL, new_cancellations.sequence.to_bytes(_SEQUENCE_BYTES, "big"))
            self.cancel(new_cancellations.subjects)

    def start(self, item: PlanItem) -> None:
        """Start an instance for each recipient; one whose user another partition owns is started there."""
        facts = self._facts
        own: list[Recipient] = []
        others: list[Recipient] = []
        for to in item.request.to:
            here = partition_for(item.tenant, recipient_key(to), facts.partitions) == facts.partition
            (own if here else others).append(to)
        self.frames += start_frames(item, others, facts.partitions)
        for to in own:
            start = Start(item.accepted_ms, msgspec.structs.replace(item.request, to=[to]))
            with self._collecting_needs():
                self._begin(instance_id(item.notification_id, to), item.lane, item.tenant, start)
        with self._collecting_needs():
            self._mover.settle()

    def advance(self, lane: Lane, frame: AdvanceFrame) -> None:
        """Move the instances of a frame, each by its cause. An instance that has ended or moved since is left alone."""
        for row in advance_rows(frame):
            with self._collecting_needs():
                self._advance(lane, row)
                self._mover.settle()

    def signal(self, lane: Lane, frame: SignalFrame) -> None:
        """Move the instances of this partition that wait for a signal; end those that it cancels."""
        for tenant, key, data in zip(frame.tenants, frame.keys, frame.data, strict=True):
            with self._collecting_needs():
                self._signal_subjects(key, self._facts.waits(tenant, key), data)

    def cancel(self, notification_ids: Iterable[bytes]) -> None:
        """End the instances of these notifications that live in this partition."""
        for notification_id in notification_ids:
            with self._collecting_needs():
                for key, _ in self._cells.under(INSTANCE_CELL + notification_id):
                    self._mover.end(key[len(INSTANCE_CELL) :], "cancelled")

    def finish(self) -> None:
        """Add everything to write to `cells` and `frames`."""
        self.cells = self._cells.writes()
        self.frames += self._mover.progress.frames(self._facts.partition)
        for event, number in self._mover.progress.counts.items():
            self._notes.count("workflow_events", number, event=event)

    @contextmanager
    def _collecting_needs(self) -> Iterator[None]:
        """Collect the missing facts of one operation in `lacking`, so that the missing facts of all are read at
        once."""
        try:
            yield
        except MissingFacts as error:
            self.lacking.append(error.need)

    def _signal_subjects(self, key: bytes, subjects: Iterable[bytes], data: dict[str, Any]) -> None:
        if key.startswith(CANCEL_KEY):
            self.cancel(subjects)
            return
        for subject in subjects:
            with self._collecting_needs():
                self._move_at(*of_subject(subject), SignalReceived(data))
                self._mover.settle()

    def _begin(self, id_: bytes, lane: Lane, tenant: str, start: Start) -> None:
        if self._mover.get(id_) is not None:
            return
        instance = begun(tenant, lane, start, self._now_ms)
        if id_[:NOTIFICATION_ID_BYTES] in self._facts.cancelled:
            self._mover.end(id_, "cancelled", instance=instance)
            return
        self._mover.move(id_, instance, Triggered())
        if self._mover.get(id_) is not None:
            self._mover.effects.expire(id_, instance)

    def _advance(self, lane: Lane, row: AdvanceRow) -> None:
        match row.cause:
            case "start":
                self._begin(row.instance_id, lane, row.tenant, START.decode(row.payload))
            case "timer":
                self._move_at(row.instance_id, row.seq, TimerFired(row.at_ms))
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
                self._notes.log("error", "unknown_cause", cause=row.cause, tenant=row.tenant)

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
            self._mover.effects.expire(row.instance_id, instance)  # the clock was set back since the timer fired
