"""Segments over HTTP, and previews: the number of users that a filter matches and the first of them."""

from datetime import datetime
from typing import Final

import msgspec

from clarion.control.segments.rules import check_filter, topics_of
from clarion.control.users.places import places
from clarion.domain.address import single_line
from clarion.domain.limits import NAME_CHARS_MAX, SEGMENT_SAMPLE_USERS
from clarion.domain.segment import Filter, Segment
from clarion.domain.times import shown
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.documents import Changes
from clarion.ports.web import Call, Reply, Route
from clarion.resources.changing import Changing
from clarion.resources.decisions import stored
from clarion.resources.declaration import Facts, Resource, view_of_body
from clarion.resources.routes import Handlers, routes_of

_SEGMENT = msgspec.json.Decoder(Segment)


class PreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter to count before it is stored."""

    filter: Filter


class Preview(msgspec.Struct, frozen=True):
    """The number of matching users, and the ids of the first of them. With `at_least` counting stopped early, and there
    may be more than `count`."""

    count: int
    at_least: bool
    sample: list[str]
    counted_at: datetime


def check(body: Segment, facts: Facts, now_ms: int) -> Changes:
    """Return the segment to store. Raises `InvalidField`."""
    single_line(body.name, "name", NAME_CHARS_MAX)
    return stored(facts, body, now_ms)


SEGMENTS: Final = Resource(
    Segment.KIND,
    "/v1/segments/{key}",
    Segment,
    view_of_body(Segment, "A segment in the API's responses."),
    check,
    description="A broadcast to a segment reaches the users who match it when the broadcast begins.",
    example=Segment(Filter(locale="de"), "German"),
)


class _Handlers(Handlers):
    def __init__(self, control: Control, changing: Changing, clock: Clock) -> None:
        super().__init__(SEGMENTS, control.documents, changing)
        self._topics = control.topics
        self._audiences = control.audiences
        self._clock = clock

    async def put(self, call: Call) -> Reply:
        """Store a segment whose topics exist."""
        await self._check(call.caller.tenant, call.body.filter)
        return await super().put(call)

    async def preview(self, call: Call) -> Reply:
        """Count the users that a filter matches."""
        await self._check(call.caller.tenant, call.body.filter)
        return await self._counted(call.caller.tenant, call.body.filter)

    async def preview_stored(self, call: Call) -> Reply:
        """Count the users of a segment."""
        document = await self.read(call.caller.tenant, call.path["key"])
        return await self._counted(call.caller.tenant, _SEGMENT.decode(document.body).filter)

    async def _check(self, tenant: str, filter_: Filter) -> None:
        topics = await self._topics.known(tenant, sorted(topics_of(filter_)))
        check_filter(filter_, "filter", places(), topics)

    async def _counted(self, tenant: str, filter_: Filter) -> Reply:
        at_ms = self._clock.now_ms()
        count = await self._audiences.count(tenant, None, filter_, sample=SEGMENT_SAMPLE_USERS)
        return Reply(Preview(count.users, not count.exact, count.sample, shown(at_ms)))


def routes(control: Control, changing: Changing, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, changing, clock)
    read, tag, one = SEGMENTS.permissions.read, SEGMENTS.collection, SEGMENTS.path
    return [
        Route("POST", "/v1/segments/preview", do.preview, read, "Count the users a filter matches",
              body=PreviewBody, reply=Preview, tag=tag),
        Route("GET", f"{one}/preview", do.preview_stored, read, "Count the users of a segment", reply=Preview, tag=tag),
        *routes_of(do),
    ]  # fmt: skip
