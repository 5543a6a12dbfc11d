"""Schedules over HTTP. A schedule is stored before its timer is set; a client that gets no response repeats the
request."""

from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from clarion.control.defined import Reading, view
from clarion.control.schedules.references import check_references
from clarion.control.schedules.rules import check_clock, check_occurs, check_schedule
from clarion.control.schedules.timers import next_timer
from clarion.control.users.places import places
from clarion.domain.address import key
from clarion.domain.errors import InvalidField
from clarion.domain.limits import DEFINITION_BYTES_MAX, SCHEDULE_PREVIEW_TIMES
from clarion.domain.localtime import local_time
from clarion.domain.occurrences import next_after, occurrences_after, zone_of_schedule
from clarion.domain.schedule import Schedule, ScheduleTo
from clarion.domain.times import shown
from clarion.journal.schedules import latest_of, schedule_partition
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.control_definitions import DefinitionRecord
from clarion.ports.schemas import Schemas
from clarion.ports.stage_store import StageResult, StageStore
from clarion.ports.web import Call, Reply, Route

_JSON = msgspec.json.Encoder()
_SCHEDULE = msgspec.json.Decoder(Schedule)
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


class _Handlers(Reading):
    def __init__(self, control: Control, schemas: Schemas, store: StageStore, clock: Clock) -> None:
        super().__init__(control.definitions, Schedule.KIND, "schedule")
        self._control = control
        self._schemas = schemas
        self._stages = store
        self._clock = clock

    async def put(self, call: Call) -> Reply:
        tenant, schedule, name = call.caller.tenant, call.body, key(call.path["key"], "key")
        check_schedule(schedule, places().zones)
        await check_references(self._control, self._schemas, tenant, schedule)
        stored = await self._control.definitions.get(tenant, Schedule.KIND, name)
        body = _JSON.encode(schedule)
        if len(body) > DEFINITION_BYTES_MAX:
            raise InvalidField(f"is larger than {DEFINITION_BYTES_MAX} bytes with all its fields", field="data")
        if stored is None or stored.body != body:
            # A stored schedule may be over; storing it again changes nothing.
            check_occurs(schedule, self._clock.now_ms())
        return Reply(await self._store(tenant, name, body))

    async def get(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        return Reply(await self._whole(tenant, await self.record(tenant, call.path["key"])))

    async def pause(self, call: Call) -> Reply:
        return await self._switch(call, enabled=False)

    async def resume(self, call: Call) -> Reply:
        return await self._switch(call, enabled=True)

    async def preview(self, call: Call) -> Reply:
        schedule = Schedule(to=_NOBODY, **msgspec.structs.asdict(call.body))
        check_clock(schedule, places().zones)
        zone = zone_of_schedule(schedule)
        found = islice(occurrences_after(schedule, self._clock.now_ms()), SCHEDULE_PREVIEW_TIMES)
        views = [OccurrenceView(shown(at_ms), f"{local_time(at_ms, zone):%Y-%m-%dT%H:%M}") for at_ms in found]
        return Reply(PreviewView(views))

    async def _switch(self, call: Call, *, enabled: bool) -> Reply:
        tenant = call.caller.tenant
        record = await self.record(tenant, call.path["key"])
        schedule = msgspec.structs.replace(_SCHEDULE.decode(record.body), enabled=enabled)
        return Reply(await self._store(tenant, record.key, _JSON.encode(schedule)))

    async def _store(self, tenant: str, name: str, body: bytes) -> dict[str, Any]:
        record = await self._control.definitions.put(tenant, Schedule.KIND, name, body)
        timer = next_timer(tenant, record, self._stages.partitions, self._clock.now_ms())
        if timer is not None:
            await self._stages.commit(StageResult(timers=[timer]))
        return await self._whole(tenant, record)

    async def _whole(self, tenant: str, record: DefinitionRecord) -> dict[str, Any]:
        schedule = _SCHEDULE.decode(record.body)
        next_ms = next_after(schedule, self._clock.now_ms()) if schedule.enabled else None
        latest = await latest_of(
            self._stages, tenant, record.key, schedule_partition(tenant, record.key, self._stages.partitions)
        )
        latest_view = latest and LatestView(
            shown(latest.due_ms), shown(latest.at_ms), latest.result, latest.subject or None
        )
        return {**view(record), "enabled": schedule.enabled, "next_at": shown(next_ms), "latest": latest_view}


def routes(control: Control, schemas: Schemas, store: StageStore, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, schemas, store, clock)
    read, write, tag, one = "notifications:read", "notifications:write", "schedules", "/v1/schedules/{key}"
    return [
        Route("POST", "/v1/schedules/preview", do.preview, read, "Preview the next occurrences of a rule",
              body=WhenBody, reply=PreviewView, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a schedule", body=Schedule, reply=ScheduleView, tag=tag),
        Route("POST", f"{one}/pause", do.pause, write, "Pause a schedule", reply=ScheduleView, tag=tag),
        Route("POST", f"{one}/resume", do.resume, write, "Resume a schedule with its next occurrence",
              reply=ScheduleView, tag=tag),
        *do.routes("/v1/schedules", ScheduleView, read, write),
    ]  # fmt: skip
