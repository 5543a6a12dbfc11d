"""Schedules over HTTP. A schedule is stored before its timer is set; a client that gets no response repeats the
request."""

from datetime import datetime
from itertools import islice
from typing import Final

import msgspec

from clarion.control.schedules.references import check_references
from clarion.control.schedules.rules import check_clock, check_occurs, check_schedule, check_variables, references
from clarion.control.schedules.timers import next_timer
from clarion.control.users.places import places
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import DEFINITION_BYTES_MAX, SCHEDULE_PREVIEW_TIMES
from clarion.domain.localtime import local_time
from clarion.domain.occurrences import next_after, occurrences_after, zone_of_schedule
from clarion.domain.schedule import Schedule, ScheduleTo
from clarion.domain.times import shown
from clarion.domain.workflow import Workflow
from clarion.journal.schedules import latest_of, schedule_partition
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.documents import Changes, Document
from clarion.ports.schemas import Schemas
from clarion.ports.stage_store import StageResult, StageStore
from clarion.ports.web import Call, Reply, Route
from clarion.resources.changing import Changing
from clarion.resources.decisions import stored
from clarion.resources.declaration import Action, Facts, Resource
from clarion.resources.etags import etag
from clarion.resources.routes import Handlers, routes_of

_SCHEDULE = msgspec.json.Decoder(Schedule)
_WORKFLOW = msgspec.json.Decoder(Workflow)
_NOBODY = ScheduleTo()


class WhenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rule of a schedule, to preview its occurrences."""

    cron: str | None = None
    rrule: str | None = None
    start: str | None = None
    zone: str = "UTC"
    local_time: bool = False


class OccurrenceView(msgspec.Struct, frozen=True):
    """An occurrence of a schedule. `local` is the wall-clock time, with `local_time` that of each recipient; `at` is
    then the instant at which the first of them has that time."""

    at: datetime
    local: str


class PreviewView(msgspec.Struct, frozen=True):
    """The next occurrences; fewer than ten when there are no more in thirty years."""

    occurrences: list[OccurrenceView]


class LatestView(msgspec.Struct, frozen=True):
    """The result of the latest occurrence: when it was due and when it was handled. `result` is `started` or the reason
    that nothing was sent (`too_late`, `unknown_template`); `id` is that of the notification or broadcast."""

    due_at: datetime
    at: datetime
    result: str
    id: str | None


class ScheduleView(Schedule, frozen=True, kw_only=True):
    """A schedule in the API's responses. `next_at` is null when it is paused or over."""

    key: str
    version: int
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None = None
    latest: LatestView | None = None


def check(body: Schedule, facts: Facts, now_ms: int) -> Changes:
    """Return the schedule to store. Raises `InvalidField` for one that never occurs."""
    changes = stored(facts, body, now_ms)
    workflow = None if body.workflow is None else facts.find(Workflow.KIND, body.workflow)
    if workflow is not None:
        check_variables(_WORKFLOW.decode(workflow.body).variables, body, f"workflow {body.workflow!r}")
    if changes.puts:
        if len(changes.puts[0].body) > DEFINITION_BYTES_MAX:
            raise InvalidField(f"is larger than {DEFINITION_BYTES_MAX} bytes with all its fields", field="data")
        # A stored schedule may be over; storing it again changes nothing.
        check_occurs(body, now_ms)
    return changes


def _check_switch(enabled: bool, facts: Facts, now_ms: int) -> Changes:
    if facts.current is None:
        raise NotFound("no such schedule")
    schedule = msgspec.structs.replace(_SCHEDULE.decode(facts.current.body), enabled=enabled)
    return stored(facts, schedule, now_ms, refers=((one.kind, one.key) for one in references(schedule)))


_SWITCH: Final = Action[bool](_check_switch)
SCHEDULES: Final = Resource(
    Schedule.KIND,
    "/v1/schedules/{key}",
    Schedule,
    ScheduleView,
    check,
    references=references,
    description="An occurrence that is more than `too_late` behind its time is dropped.",
    example=Schedule(to=ScheduleTo(topic="fans"), template="weekly", cron="0 9 * * 1"),
)


class _Handlers(Handlers):
    def __init__(self, control: Control, changing: Changing, schemas: Schemas, store: StageStore, clock: Clock) -> None:
        super().__init__(SCHEDULES, control.documents, changing)
        self._control = control
        self._schemas = schemas
        self._stages = store
        self._clock = clock

    async def put(self, call: Call) -> Reply:
        """Store a schedule and set its timer."""
        check_schedule(call.body, places().zones)
        await check_references(self._control, self._schemas, call.caller.tenant, call.body)
        return await self._timed(await self.store(call, call.body))

    async def get(self, call: Call) -> Reply:
        """Return a schedule with its next occurrence and the latest one."""
        return await self._whole(await self.read(call.caller.tenant, call.path["key"]))

    async def pause(self, call: Call) -> Reply:
        """Pause a schedule."""
        return await self._switch(call, enabled=False)

    async def resume(self, call: Call) -> Reply:
        """Resume a schedule with its next occurrence."""
        return await self._switch(call, enabled=True)

    async def preview(self, call: Call) -> Reply:
        """Return the next occurrences of a rule."""
        schedule = Schedule(to=_NOBODY, **msgspec.structs.asdict(call.body))
        check_clock(schedule, places().zones)
        zone = zone_of_schedule(schedule)
        found = islice(occurrences_after(schedule, self._clock.now_ms()), SCHEDULE_PREVIEW_TIMES)
        views = [OccurrenceView(shown(at_ms), f"{local_time(at_ms, zone):%Y-%m-%dT%H:%M}") for at_ms in found]
        return Reply(PreviewView(views))

    async def _switch(self, call: Call, *, enabled: bool) -> Reply:
        document = (await self.change(call, _SWITCH, enabled)).document
        assert document is not None  # noqa: S101 - it is not removed
        return await self._timed(document)

    async def _timed(self, document: Document) -> Reply:
        timer = next_timer(document, self._stages.partitions, self._clock.now_ms())
        if timer is not None:
            await self._stages.commit(StageResult(timers=[timer]))
        return await self._whole(document)

    async def _whole(self, document: Document) -> Reply:
        schedule, (tenant, _, name) = _SCHEDULE.decode(document.body), document.key
        next_ms = next_after(schedule, self._clock.now_ms()) if schedule.enabled else None
        partition = schedule_partition(tenant, name, self._stages.partitions)
        latest = await latest_of(self._stages, tenant, name, partition)
        latest_view = latest and LatestView(
            shown(latest.due_ms), shown(latest.at_ms), latest.result, latest.subject or None
        )
        added = {"enabled": schedule.enabled, "next_at": shown(next_ms), "latest": latest_view}
        return Reply(self.view(document) | added, headers=etag(document.version))


def routes(control: Control, changing: Changing, schemas: Schemas, store: StageStore, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, changing, schemas, store, clock)
    (read, write), tag, one = SCHEDULES.permissions, SCHEDULES.collection, SCHEDULES.path
    return [
        Route("POST", "/v1/schedules/preview", do.preview, read, "Preview the next occurrences of a rule",
              body=WhenBody, reply=PreviewView, tag=tag),
        Route("POST", f"{one}/pause", do.pause, write, "Pause a schedule", reply=ScheduleView, tag=tag, versioned=True),
        Route("POST", f"{one}/resume", do.resume, write, "Resume a schedule with its next occurrence",
              reply=ScheduleView, tag=tag, versioned=True),
        *routes_of(do),
    ]  # fmt: skip
