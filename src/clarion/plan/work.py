"""A batch of frames sorted out: the notifications in it, and everything else in the order it came."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from clarion.domain.channel import Lane
from clarion.journal.events import (
    AcceptedFrame,
    AdvanceFrame,
    ChunkFrame,
    Event,
    OccurrenceFrame,
    ResumeFrame,
    SignalFrame,
)
from clarion.plan.columns import Accepted, unpack

Batch: TypeAlias = Sequence[tuple[Lane, Event]]
PLANNED: tuple[type[Event], ...] = (
    AcceptedFrame,
    AdvanceFrame,
    SignalFrame,
    ResumeFrame,
    OccurrenceFrame,
    ChunkFrame,
)
"""The kinds of frames that planning knows what to do with."""


class Work(NamedTuple):
    """What a batch holds. `items` are planned as they are, or wait for their time; `started` begin their workflow now."""

    items: list[Accepted]
    started: list[Accepted]
    others: list[tuple[Lane, Event]]


def work_of(batch: Batch, now_ms: int) -> Work:
    """Return what a batch holds at a time (Unix ms)."""
    items: list[Accepted] = []
    others: list[tuple[Lane, Event]] = []
    for lane, event in batch:
        if isinstance(event, AcceptedFrame):
            items += unpack(lane, event)
        else:
            others.append((lane, event))
    started = [item for item in items if item.request.workflow and (item.request.send_at_ms or 0) <= now_ms]
    if started:
        items = [item for item in items if not item.request.workflow or (item.request.send_at_ms or 0) > now_ms]
    return Work(items, started, others)


def tenants_of(work: Work) -> set[str]:
    """Return whose workflows and schedules a batch goes on with."""
    tenants = {item.tenant for item in work.started}
    for _, event in work.others:
        if isinstance(event, AdvanceFrame | SignalFrame | OccurrenceFrame):
            tenants.update(event.tenants)
    return tenants
