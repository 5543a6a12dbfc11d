"""The workflow engine: what a batch of frames does to the instances of one partition, as parts of the step's one append.

All that an instance knows lies in its cell, and every step reads cells, writes them and sets timers in the append that
commits the frames which moved it. So whatever dies, an instance has made a move whole or not at all. An exception in a
move ends the one instance as failed; the others of the partition go on. What an instance lacks to move is noted in
`lacking`; then nothing of the turn counts, and it is taken again with more facts.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES, partition_for
from clarion.journal.events import AdvanceFrame, Recipient, SignalFrame
from clarion.plan.columns import Accepted
from clarion.plan.notes import Notes
from clarion.plan.rules.need import Lacking, Need
from clarion.plan.rules.workflow.state import Answered, Begin, Cause, Due, Happened
from clarion.plan.wait_facts import WaitFacts
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.fetching import FetchJob
from clarion.plan.workflow.instance import (
    INSTANCE_CELL,
    AdvanceRow,
    Start,
    advance_rows,
    begun,
    instance_id,
    owner_of,
    start_frames,
)
from clarion.plan.workflow.mover import Mover
from clarion.plan.workflow.outbox import of_subject
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import Cell, Wait, WaitEnd
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame

CANCEL_KEY: Final = b"c"
"""How keys of `signals.cancel_key` begin."""
LOOKED_CELL: Final = b"c"
"""The partition's own note of how far it has looked at cancellations, written with what it did about them."""
_SEQUENCE_BYTES: Final = 8
START: Final = msgspec.msgpack.Decoder(Start)
_ANSWER: Final = msgspec.msgpack.Decoder(Answered)


class Turn:
    """What one batch does to the instances of its partition at a time (Unix ms); it sees its own writes. Nothing is kept
    unless all of it is appended."""

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

    def catch_up(self) -> None:
        """End the instances of notifications that were cancelled since the partition looked last."""
        news = self._facts.news
        if news is not None:
            self._cells.put(LOOKED_CELL, news.sequence.to_bytes(_SEQUENCE_BYTES, "big"))
            self.cancel(news.subjects)

    def start(self, item: Accepted) -> None:
        """Start an instance for each recipient; one whose user another partition owns is started there."""
        facts = self._facts
        mine: list[Recipient] = []
        others: list[Recipient] = []
        for to in item.request.to:
            here = partition_for(item.tenant, owner_of(to), facts.partitions) == facts.partition
            (mine if here else others).append(to)
        self.frames += start_frames(item, others, facts.partitions)
        for to in mine:
            start = Start(item.accepted_ms, msgspec.structs.replace(item.request, to=[to]))
            with self._alone():
                self._begin(instance_id(item.notification_id, to), item.lane, item.tenant, start)
        with self._alone():
            self._mover.settle()

    def advance(self, lane: Lane, frame: AdvanceFrame) -> None:
        """Move the instances of a frame, each by its cause. One that is gone or has gone on stays as it is."""
        for row in advance_rows(frame):
            with self._alone():
                self._advance(lane, row)
                self._mover.settle()

    def signal(self, lane: Lane, frame: SignalFrame) -> None:
        """Tell the instances of this partition that wait for what happened; end those it cancels."""
        for tenant, key, data in zip(frame.tenants, frame.keys, frame.data, strict=True):
            with self._alone():
                self._happened(key, self._facts.waits(tenant, key), data)

    def cancel(self, notification_ids: Iterable[bytes]) -> None:
        """End the instances of these notifications that live in this partition."""
        for notification_id in notification_ids:
            with self._alone():
                for key, _ in self._cells.under(INSTANCE_CELL + notification_id):
                    self._mover.end(key[len(INSTANCE_CELL) :], "cancelled")

    def finish(self) -> None:
        """Put everything that is to be written into `cells` and `frames`."""
        self.cells = self._cells.writes()
        self.frames += self._mover.progress.frames(self._facts.partition)
        for event, number in self._mover.progress.counts.items():
            self._notes.count("workflow_events", number, event=event)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Note what the one thing done in here lacks, so that all that is lacking is read at once."""
        try:
            yield
        except Lacking as error:
            self.lacking.append(error.need)

    def _happened(self, key: bytes, subjects: Iterable[bytes], data: dict[str, Any]) -> None:
        if key.startswith(CANCEL_KEY):
            self.cancel(subjects)
            return
        for subject in subjects:
            with self._alone():
                self._move_at(*of_subject(subject), Happened(data))
                self._mover.settle()

    def _begin(self, id_: bytes, lane: Lane, tenant: str, start: Start) -> None:
        if self._mover.get(id_) is not None:
            return
        instance = begun(tenant, lane, start, self._now_ms)
        if id_[:NOTIFICATION_ID_BYTES] in self._facts.cancelled:
            self._mover.end(id_, "cancelled", instance=instance)
            return
        self._mover.move(id_, instance, Begin())
        if self._mover.get(id_) is not None:
            self._mover.outbox.expire(id_, instance)

    def _advance(self, lane: Lane, row: AdvanceRow) -> None:
        match row.cause:
            case "start":
                self._begin(row.instance_id, lane, row.tenant, START.decode(row.payload))
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
            self._mover.outbox.expire(row.instance_id, instance)  # the clock was set back since the timer fired
