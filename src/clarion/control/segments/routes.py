"""Segments over HTTP, and previews: the number of users that a filter matches and the first of them."""

from datetime import datetime

import msgspec

from clarion.control.defined import Reading, view
from clarion.control.segments.rules import check_filter, topics_of
from clarion.control.users.places import places
from clarion.domain.address import key, single_line
from clarion.domain.limits import NAME_CHARS_MAX, SEGMENT_SAMPLE_USERS
from clarion.domain.segment import Filter, Segment
from clarion.domain.times import shown
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.web import Call, Reply, Route

_JSON = msgspec.json.Encoder()
_SEGMENT = msgspec.json.Decoder(Segment)


class PreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter to count before it is stored."""

    filter: Filter


class SegmentView(msgspec.Struct, frozen=True):
    """A segment in the API's responses."""

    key: str
    version: int
    filter: Filter
    created_at: datetime
    updated_at: datetime
    name: str = ""


class Preview(msgspec.Struct, frozen=True):
    """The number of matching users, and the ids of the first of them. With `at_least` counting stopped early, and there
    may be more than `count`."""

    count: int
    at_least: bool
    sample: list[str]
    counted_at: datetime


class _Handlers:
    def __init__(self, control: Control, clock: Clock) -> None:
        self._definitions = control.definitions
        self._topics = control.topics
        self._audiences = control.audiences
        self._clock = clock
        self.reading = Reading(control.definitions, Segment.KIND, "segment")

    async def put(self, call: Call) -> Reply:
        tenant, segment = call.caller.tenant, call.body
        name = key(call.path["key"], "key")
        single_line(segment.name, "name", NAME_CHARS_MAX)
        await self._check(tenant, segment.filter)
        return Reply(view(await self._definitions.put(tenant, Segment.KIND, name, _JSON.encode(segment))))

    async def preview(self, call: Call) -> Reply:
        await self._check(call.caller.tenant, call.body.filter)
        return await self._counted(call.caller.tenant, call.body.filter)

    async def preview_stored(self, call: Call) -> Reply:
        record = await self.reading.record(call.caller.tenant, call.path["key"])
        return await self._counted(call.caller.tenant, _SEGMENT.decode(record.body).filter)

    async def _check(self, tenant: str, filter_: Filter) -> None:
        topics = await self._topics.known(tenant, sorted(topics_of(filter_)))
        check_filter(filter_, "filter", places(), topics)

    async def _counted(self, tenant: str, filter_: Filter) -> Reply:
        at_ms = self._clock.now_ms()
        count = await self._audiences.count(tenant, None, filter_, sample=SEGMENT_SAMPLE_USERS)
        return Reply(Preview(count.users, not count.exact, count.sample, shown(at_ms)))


def routes(control: Control, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, clock)
    read, write, tag, one = "users:read", "users:write", "segments", "/v1/segments/{key}"
    return [
        Route("POST", "/v1/segments/preview", do.preview, read, "Count the users a filter matches",
              body=PreviewBody, reply=Preview, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a segment", body=Segment, reply=SegmentView, tag=tag),
        Route("GET", f"{one}/preview", do.preview_stored, read, "Count the users of a segment", reply=Preview, tag=tag),
        *do.reading.routes("/v1/segments", SegmentView, read, write),
    ]  # fmt: skip
