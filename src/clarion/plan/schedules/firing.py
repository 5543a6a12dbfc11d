"""Fires schedules: an occurrence becomes a notification or a broadcast, and the timer of the next one.

All of it goes into one commit, together with the offset of the timer's frame. So each occurrence is fired once, even if
a process dies; and because its ids are derived from the occurrence, planning it again yields the same ones.
"""

from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.limits_processes import SCHEDULE_CLOCK_BACK_MS_MAX
from clarion.domain.occurrences import next_after
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.schedule import Schedule
from clarion.domain.segment import Segment
from clarion.domain.workflow import Workflow
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Audience, BroadcastJob, OccurrenceFrame, Recipient, Request
from clarion.journal.schedules import (
    Latest,
    latest_cell,
    latest_in,
    latest_key,
    occurrence_digest,
    occurrence_timer,
)
from clarion.journal.topics import accepted
from clarion.plan.notes import Notes
from clarion.plan.rules.need import MissingFacts, Need, merged
from clarion.plan.rules.occurrence import (
    expires_ms,
    is_too_late,
    last_time_ms,
    next_from_ms,
    own_time_ms,
    wall_clock_ms,
)
from clarion.plan.wait_facts import CATEGORIES, CELLS, DEFINITIONS, PEOPLE, TEMPLATES, TOPICS, WaitFacts
from clarion.ports.journal_cells import Cell
from clarion.ports.stage_store import Cursor, Timer
from clarion.ports.streams import Frame

STARTED: Final = "started"
_PACK: Final = msgspec.msgpack.Encoder()
_JSON: Final = msgspec.json.Encoder()


class FiringResult(NamedTuple):
    """The records to commit for occurrences."""

    frames: list[Frame]
    timers: list[Timer]
    cursors: list[Cursor]
    cells: list[Cell]

    def add(self, more: "FiringResult") -> None:
        """Add the records of another result."""
        self.frames.extend(more.frames)
        self.timers.extend(more.timers)
        self.cursors.extend(more.cursors)
        self.cells.extend(more.cells)


class _OccurrenceSkipped(Exception):
    """Nothing is sent; the text is the reason (`too_late`, `unknown_template`)."""


class _Occurrence(NamedTuple):
    tenant: str
    key: str
    version: int
    schedule: Schedule
    due_ms: int
    now_ms: int

    def digest(self) -> bytes:
        """Return the bytes that make the id of its notification or broadcast unique."""
        return occurrence_digest(self.tenant, self.key, self.version, self.due_ms, ids.ENTROPY_BYTES)


def prefetch_keys(frame: OccurrenceFrame, facts: WaitFacts | None = None) -> Iterable[tuple[str, Hashable]]:
    """Yield (kind, key) of the facts for firing a frame: without `facts`, the schedules and the results of their latest
    occurrences; with these facts, the definitions that the schedules name."""
    for tenant, key in zip(frame.tenants, frame.keys, strict=True):
        if facts is None:
            yield DEFINITIONS, (tenant, Schedule, key, None)
            yield CELLS, latest_key(tenant, key)
            continue
        with suppress(Exception):  # firing meets the same error and logs it, and only this schedule fails
            found = facts.definition(tenant, Schedule, key)
            if found is not None:
                yield from _named(tenant, found.body)


def _named(tenant: str, schedule: Schedule) -> Iterable[tuple[str, Hashable]]:
    to = schedule.to
    if to.user_id is not None:
        yield PEOPLE, (tenant, to.user_id)
        yield DEFINITIONS, (tenant, Policy, POLICY_KEY, None)
    if to.topic is not None:
        yield TOPICS, (tenant, to.topic)
    if to.segment is not None:
        yield DEFINITIONS, (tenant, Segment, to.segment, None)
    if schedule.workflow is not None:
        yield DEFINITIONS, (tenant, Workflow, schedule.workflow, None)
    else:
        yield TEMPLATES, (tenant, schedule.template or "")
    if schedule.category:
        yield CATEGORIES, (tenant, schedule.category)


def fire(frame: OccurrenceFrame, facts: WaitFacts, notes: Notes, now_ms: int) -> FiringResult:
    """Return the records to commit for a frame at a time (Unix ms): nothing for a schedule that was changed or removed
    since, or whose occurrence has been fired; else a send, unless it is too late, and the next timer. Raises
    `MissingFacts` with all missing facts at once."""
    fired = FiringResult([], [], [], [])
    missing_facts: list[Need] = []
    for row in zip(frame.tenants, frame.keys, frame.versions, frame.due_ms, strict=True):
        try:
            fired.add(_fire(*row, facts, notes, now_ms))
        except MissingFacts as error:
            missing_facts.append(error.need)
    if missing_facts:
        raise MissingFacts(merged(missing_facts))
    return fired


def _fire(
    tenant: str, key: str, version: int, due_ms: int, facts: WaitFacts, notes: Notes, now_ms: int
) -> FiringResult:
    fired = FiringResult([], [], [], [])
    try:
        found = facts.definition(tenant, Schedule, key)
        if found is None:
            fired.cells.append(latest_cell(tenant, key, None, facts.partition))
        elif found.version == version and found.body.enabled and not _was_fired(facts, tenant, key, due_ms, now_ms):
            one = _Occurrence(tenant, key, version, found.body, due_ms, now_ms)
            _Firing(one, facts, notes, fired).run()
    except MissingFacts:
        raise  # unrelated to the schedule
    except Exception as error:  # noqa: BLE001 - an error of one schedule must not stop the partition for good
        notes.log("error", "firing_failed", tenant=tenant, schedule=key, error=repr(error))
        return FiringResult([], [], [], [])
    return fired


def _was_fired(facts: WaitFacts, tenant: str, key: str, due_ms: int, now_ms: int) -> bool:
    """Return whether this occurrence or a later one has been fired: processes whose clock may have gone back set timers
    again. An occurrence fired further ahead than `SCHEDULE_CLOCK_BACK_MS_MAX` is ignored."""
    latest = latest_in(facts.cell(latest_key(tenant, key)))
    return latest is not None and due_ms <= latest.due_ms <= now_ms + SCHEDULE_CLOCK_BACK_MS_MAX


class _Firing:
    """The firing of one occurrence."""

    def __init__(self, one: _Occurrence, facts: WaitFacts, notes: Notes, fired: FiringResult) -> None:
        self._one = one
        self._facts = facts
        self._notes = notes
        self._fired = fired

    def run(self) -> None:
        """Add the occurrence's records."""
        one, fired, partition = self._one, self._fired, self._facts.partition
        subject, result = "", STARTED
        try:
            subject = self._send(one, fired)
        except _OccurrenceSkipped as error:
            result = str(error)
            self._notes.log("warning", "occurrence_skipped", tenant=one.tenant, schedule=one.key, result=result)
        latest = Latest(one.due_ms, one.now_ms, result, subject)
        fired.cells.append(latest_cell(one.tenant, one.key, latest, partition))
        next_ms = next_after(one.schedule, next_from_ms(one.schedule, one.due_ms, one.now_ms))
        self._notes.count("occurrences", 1, result=result)
        if next_ms is not None:
            fired.timers.append(occurrence_timer(one.tenant, one.key, one.version, next_ms, partition))

    def _send(self, one: _Occurrence, fired: FiringResult) -> str:
        """Add the occurrence's notification or broadcast and return its public id. Raises `_OccurrenceSkipped`."""
        user_id = one.schedule.to.user_id
        if user_id is None:
            cursor = self._broadcast(one)
            fired.cursors.append(cursor)
            return ids.write(ids.BROADCAST_PREFIX, cursor.cursor_id)
        slot = ids.slot_for(one.tenant, user_id, self._facts.partitions)
        id_ = ids.notification_id(one.due_ms, slot, one.digest())
        request = self._to_user(one, user_id)
        frame = AcceptedFrame([id_], [one.tenant], [one.now_ms], [request])
        partition = slot % self._facts.partitions
        fired.frames.append(Frame(accepted(Lane(request.lane)), partition, 1, encode(frame, 1)))
        return ids.write(ids.NOTIFICATION_PREFIX, id_)

    def _to_user(self, one: _Occurrence, user_id: str) -> Request:
        user = self._facts.user(one.tenant, user_id)
        if user is None:
            raise _OccurrenceSkipped("unknown_user")
        policy = self._facts.definition(one.tenant, Policy, POLICY_KEY)
        at_ms = own_time_ms(one.schedule, one.due_ms, user.zone, policy.body.zone if policy else "")
        request = self._request(one, at_ms)
        send_at_ms = at_ms if at_ms > one.now_ms else None
        return msgspec.structs.replace(request, to=[Recipient(user_id=user_id)], send_at_ms=send_at_ms)

    def _broadcast(self, one: _Occurrence) -> Cursor:
        digest = one.digest()
        slot = digest[0] % ids.slots_of(self._facts.partitions)
        request = self._request(one, last_time_ms(one.schedule, one.due_ms))
        return Cursor(
            cursor_id=ids.notification_id(one.due_ms, slot, digest),
            tenant=one.tenant,
            partition=slot % self._facts.partitions,
            status="running",
            position=0,
            planned=0,
            skipped=0,
            users=0,
            created_ms=one.now_ms,
            updated_ms=one.now_ms,
            payload=_PACK.encode(BroadcastJob(self._audience(one), request)),
        )

    def _audience(self, one: _Occurrence) -> Audience:
        to, local_ms = one.schedule.to, wall_clock_ms(one.schedule, one.due_ms)
        if to.topic is not None and not self._facts.topic_exists(one.tenant, to.topic):
            raise _OccurrenceSkipped("unknown_topic")
        if to.segment is None:
            return Audience(topic=to.topic, local_ms=local_ms)
        segment = self._facts.definition(one.tenant, Segment, to.segment)
        if segment is None:
            raise _OccurrenceSkipped("unknown_segment")
        return Audience(segment=to.segment, filter=_JSON.encode(segment.body.filter), local_ms=local_ms)

    def _request(self, one: _Occurrence, last_ms: int) -> Request:
        """Return the request without recipients; `last_ms` is when it is due for its last recipients (Unix ms). Raises
        `_OccurrenceSkipped`."""
        schedule = one.schedule
        if is_too_late(schedule, last_ms, one.now_ms):
            raise _OccurrenceSkipped("too_late")
        category, version = self._content(one)
        return Request(
            to=[],
            template=schedule.template or "",
            category=category,
            channels=[str(channel) for channel in schedule.channels] or None,
            lane=self._lane(one.tenant, category),
            data=schedule.data,
            expires_ms=expires_ms(schedule, last_ms),
            metadata={"schedule": one.key},
            workflow=schedule.workflow or "",
            workflow_version=version,
        )

    def _content(self, one: _Occurrence) -> tuple[str | None, int]:
        """Return the current category, and the current version of the workflow (0 without one). Raises
        `_OccurrenceSkipped`."""
        schedule = one.schedule
        if schedule.workflow is not None:
            workflow = self._facts.definition(one.tenant, Workflow, schedule.workflow)
            if workflow is None:
                raise _OccurrenceSkipped("unknown_workflow")
            return schedule.category or workflow.body.category, workflow.version
        template = self._facts.template(one.tenant, schedule.template or "")
        if template is None:
            raise _OccurrenceSkipped("unknown_template")
        return schedule.category or template.category, 0

    def _lane(self, tenant: str, key: str | None) -> Lane:
        if not key:
            return Lane.NORMAL
        category = self._facts.category(tenant, key)
        if category is None:
            raise _OccurrenceSkipped("unknown_category")
        return category.lane
