"""Fires schedules: an occurrence becomes a notification or a broadcast, and the timer of the one that follows.

All of it is meant for one append, together with the offset of the frame that said that the time has come. So each occurrence
is fired once, whoever dies; and because its ids follow from what it is, planning it again yields the same ones.
"""

from typing import Final, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits_deciding import SCHEDULE_CLOCK_BACK_MS_MAX
from clarion.domain.occurrences import next_after
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.schedule import Schedule
from clarion.domain.segment import Segment
from clarion.domain.workflow import Workflow
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Audience, BroadcastJob, OccurrenceFrame, Recipient, Request
from clarion.journal.schedules import Latest, latest_cell, latest_of, occurrence_digest, occurrence_timer
from clarion.journal.topics import accepted
from clarion.plan.rules.occurrence import (
    expires_ms,
    is_too_late,
    last_time_ms,
    next_from_ms,
    own_time_ms,
    wall_clock_ms,
)
from clarion.ports.directory import Directory
from clarion.ports.journal import Cell, Cursor, Frame, Journal, Timer
from clarion.ports.telemetry import Telemetry

STARTED: Final = "started"
_PACK: Final = msgspec.msgpack.Encoder()
_JSON: Final = msgspec.json.Encoder()


class Fired(NamedTuple):
    """What occurrences amount to: what to append."""

    frames: list[Frame]
    timers: list[Timer]
    cursors: list[Cursor]
    cells: list[Cell]

    def add(self, more: "Fired") -> None:
        """Append more with it."""
        self.frames.extend(more.frames)
        self.timers.extend(more.timers)
        self.cursors.extend(more.cursors)
        self.cells.extend(more.cells)


class _NotSent(Exception):
    """Nothing is sent; the text says why (`too_late`, `unknown_template`)."""


class _Occurrence(NamedTuple):
    tenant: str
    key: str
    version: int
    schedule: Schedule
    due_ms: int
    now_ms: int

    def digest(self) -> bytes:
        """Return what makes the id of what it sends its own."""
        return occurrence_digest(self.tenant, self.key, self.version, self.due_ms, ids.ENTROPY_BYTES)


class Occurrences:
    """Fires what comes up in the partitions of one process."""

    def __init__(self, journal: Journal, directory: Directory, telemetry: Telemetry) -> None:
        self._journal = journal
        self._directory = directory
        self._telemetry = telemetry

    def fire(self, frame: OccurrenceFrame, partition: int, now_ms: int) -> Fired:
        """Return what to append for a frame of a partition at a time (Unix ms): nothing for a schedule that was changed or
        removed since, or whose occurrence has been fired; else a send, unless it is too late, and the next timer."""
        self._directory.revision()  # what was defined a moment ago counts
        fired = Fired([], [], [], [])
        for tenant, key, version, due_ms in zip(frame.tenants, frame.keys, frame.versions, frame.due_ms, strict=True):
            found = self._directory.definition(tenant, Schedule, key)
            if found is None:
                fired.cells.append(latest_cell(tenant, key, None, partition))
                continue
            if found.version != version or not found.body.enabled:
                continue
            if not self._was_fired(tenant, key, partition, due_ms, now_ms):
                one = _Occurrence(tenant, key, version, found.body, due_ms, now_ms)
                fired.add(self._fire(one, partition))
        return fired

    def _was_fired(self, tenant: str, key: str, partition: int, due_ms: int, now_ms: int) -> bool:
        """Return whether a later occurrence, or this one, has been fired: timers are set anew by processes whose clock may
        have gone back. If it went back by much, what happened in that future says nothing."""
        latest = latest_of(self._journal, tenant, key, partition)
        return latest is not None and due_ms <= latest.due_ms <= now_ms + SCHEDULE_CLOCK_BACK_MS_MAX

    def _fire(self, one: _Occurrence, partition: int) -> Fired:
        try:
            return self._fired(one, partition)
        except StoreUnavailable:
            raise  # says nothing about the schedule
        except Exception as error:  # noqa: BLE001 - whatever it is, one schedule must not stop the partition for good
            self._telemetry.log("error", "firing_failed", tenant=one.tenant, schedule=one.key, error=repr(error))
            return Fired([], [], [], [])

    def _fired(self, one: _Occurrence, partition: int) -> Fired:
        fired = Fired([], [], [], [])
        subject, result = "", STARTED
        try:
            subject = self._send(one, fired)
        except _NotSent as error:
            result = str(error)
            self._telemetry.log("warning", "occurrence_skipped", tenant=one.tenant, schedule=one.key, result=result)
        self._telemetry.count("occurrences", 1, result=result)
        latest = Latest(one.due_ms, one.now_ms, result, subject)
        fired.cells.append(latest_cell(one.tenant, one.key, latest, partition))
        next_ms = next_after(one.schedule, next_from_ms(one.schedule, one.due_ms, one.now_ms))
        if next_ms is not None:
            fired.timers.append(occurrence_timer(one.tenant, one.key, one.version, next_ms, partition))
        return fired

    def _send(self, one: _Occurrence, fired: Fired) -> str:
        """Add what the occurrence sends and return its public id. Raises `_NotSent`."""
        user_id = one.schedule.to.user_id
        if user_id is None:
            cursor = self._broadcast(one)
            fired.cursors.append(cursor)
            return ids.write(ids.BROADCAST_PREFIX, cursor.cursor_id)
        partition = ids.partition_for(one.tenant, user_id, self._journal.partitions)
        id_ = ids.notification_id(one.due_ms, partition, one.digest())
        request = self._to_user(one, user_id)
        frame = AcceptedFrame([id_], [one.tenant], [one.now_ms], [request])
        fired.frames.append(Frame(accepted(Lane(request.lane)), partition, 1, encode(frame, 1)))
        return ids.write(ids.NOTIFICATION_PREFIX, id_)

    def _to_user(self, one: _Occurrence, user_id: str) -> Request:
        user = self._directory.users(one.tenant, [user_id]).get(user_id)
        if user is None:
            raise _NotSent("unknown_user")
        policy = self._directory.definition(one.tenant, Policy, POLICY_KEY)
        at_ms = own_time_ms(one.schedule, one.due_ms, user.zone, policy.body.zone if policy else "")
        request = self._request(one, at_ms)
        send_at_ms = at_ms if at_ms > one.now_ms else None
        return msgspec.structs.replace(request, to=[Recipient(user_id=user_id)], send_at_ms=send_at_ms)

    def _broadcast(self, one: _Occurrence) -> Cursor:
        digest = one.digest()
        partition = digest[0] % self._journal.partitions
        request = self._request(one, last_time_ms(one.schedule, one.due_ms))
        return Cursor(
            cursor_id=ids.notification_id(one.due_ms, partition, digest),
            tenant=one.tenant,
            partition=partition,
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
        if to.topic is not None and not self._directory.topic_exists(one.tenant, to.topic):
            raise _NotSent("unknown_topic")
        if to.segment is None:
            return Audience(topic=to.topic, local_ms=local_ms)
        segment = self._directory.definition(one.tenant, Segment, to.segment)
        if segment is None:
            raise _NotSent("unknown_segment")
        return Audience(segment=to.segment, filter=_JSON.encode(segment.body.filter), local_ms=local_ms)

    def _request(self, one: _Occurrence, last_ms: int) -> Request:
        """Return what is sent, to nobody yet; it comes to its last recipients at a time (Unix ms)."""
        schedule = one.schedule
        if is_too_late(schedule, last_ms, one.now_ms):
            raise _NotSent("too_late")
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
        """Return the category, and the version of the workflow (0 without one), as of now."""
        schedule = one.schedule
        if schedule.workflow is not None:
            workflow = self._directory.definition(one.tenant, Workflow, schedule.workflow)
            if workflow is None:
                raise _NotSent("unknown_workflow")
            return schedule.category or workflow.body.category, workflow.version
        template = self._directory.template(one.tenant, schedule.template or "")
        if template is None:
            raise _NotSent("unknown_template")
        return schedule.category or template.category, 0

    def _lane(self, tenant: str, key: str | None) -> Lane:
        if not key:
            return Lane.NORMAL
        category = self._directory.category(tenant, key)
        if category is None:
            raise _NotSent("unknown_category")
        return category.lane
