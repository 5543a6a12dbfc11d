"""A batch of frames by content: its notifications, and all other events in order of arrival."""

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
from clarion.plan.columns import PlanItem, unpack

Batch: TypeAlias = Sequence[tuple[Lane, Event]]
PLANNED: tuple[type[Event], ...] = (
    AcceptedFrame,
    AdvanceFrame,
    SignalFrame,
    ResumeFrame,
    OccurrenceFrame,
    ChunkFrame,
)
"""The kinds of frames that planning handles."""


class Work(NamedTuple):
    """The content of a batch. `items` are planned directly, or later at their `send_at`; `started` begin their workflow
    now."""

    items: list[PlanItem]
    started: list[PlanItem]
    others: list[tuple[Lane, Event]]


def work_of(batch: Batch, now_ms: int) -> Work:
    """Return the content of a batch at a time (Unix ms)."""
    items: list[PlanItem] = []
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
    """Return the tenants whose workflows and schedules a batch advances."""
    tenants = {item.tenant for item in work.started}
    for _, event in work.others:
        if isinstance(event, AdvanceFrame | SignalFrame | OccurrenceFrame):
            tenants.update(event.tenants)
    return tenants
