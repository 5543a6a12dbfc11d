"""Audiences of broadcasts: a segment's filter is frozen when the broadcast is accepted, a local time is checked for all."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from clarion.accept.shapes import BroadcastIn
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import SCHEDULE_AHEAD_MS_MAX
from clarion.domain.limits_deciding import LOCAL_LATE_MS_MAX
from clarion.domain.segment import Filter, Segment
from clarion.journal.events import Audience
from tests.contract.controls import House, migrated
from tests.unit.accept.admitting import admission

T = "acme"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
FIRST = timedelta(hours=14)
"""How much earlier than in UTC a wall clock first shows a time."""
ROME = Filter(zone="Europe/Rome")


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def house(empty, tmp_path):
    house = House.copy_of(empty, tmp_path)
    await house.control.templates.put(T, Template("hello", 0, None, {Channel.SMS: {"body": "x"}}))
    await house.control.topics.put(T, "news", "")
    await house.control.definitions.put(T, Segment.KIND, "romans", msgspec.json.encode(Segment(ROME)))
    yield house
    await house.close()


async def broadcast(house, audience, **more):
    body = msgspec.convert({"audience": audience, "template": "hello", **more}, BroadcastIn)
    return (await admission(house.directory, T, body, NOW_MS)).broadcast(body)


def wall(at):
    return at.replace(tzinfo=None).isoformat()


async def test_a_segments_filter_is_that_of_when_the_broadcast_was_accepted(house):
    frozen = (await broadcast(house, {"segment": "romans"})).audience
    assert frozen == Audience(segment="romans", filter=msgspec.json.encode(ROME))
    await house.control.definitions.remove(T, Segment.KIND, "romans")
    house.settle()
    await house.directory.learn()
    with pytest.raises(InvalidField) as error:
        await broadcast(house, {"segment": "romans"})
    assert (error.value.field, error.value.code) == ("audience.segment", "unknown_segment")
    assert msgspec.json.decode(frozen.filter, type=Filter) == ROME


@pytest.mark.parametrize("audience", [{"all": True}, {"topic": "news"}])
async def test_other_audiences_have_no_filter(house, audience):
    assert (await broadcast(house, audience)).audience == Audience(audience.get("topic"))


@pytest.mark.parametrize(
    "audience", [{}, {"all": True, "segment": "romans"}, {"topic": "news", "segment": "romans"}, {"all": False}]
)
async def test_an_audience_is_exactly_one_thing(house, audience):
    with pytest.raises(InvalidField) as error:
        await broadcast(house, audience)
    assert error.value.field == "audience"


@pytest.mark.parametrize("text", ["2026-12-01T09:00", "2026-12-01T09:00:00"])
async def test_a_local_time_begins_where_the_day_begins_first(house, text):
    job = await broadcast(house, {"segment": "romans"}, local_time=text)
    local = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
    assert job.audience.local_ms == int(local.timestamp() * 1000)
    assert job.request.send_at_ms == int((local - FIRST).timestamp() * 1000)
    assert job.audience.segment == "romans"


@pytest.mark.parametrize(
    ("at", "good"),
    [
        (NOW + FIRST - timedelta(milliseconds=LOCAL_LATE_MS_MAX), True),
        (NOW + FIRST - timedelta(milliseconds=LOCAL_LATE_MS_MAX, seconds=1), False),
        (NOW + FIRST + timedelta(milliseconds=SCHEDULE_AHEAD_MS_MAX), True),
        (NOW + FIRST + timedelta(milliseconds=SCHEDULE_AHEAD_MS_MAX, seconds=1), False),
    ],
)
async def test_a_local_time_is_neither_over_anywhere_nor_more_than_a_year_ahead(house, at, good):
    if good:
        assert (await broadcast(house, {"all": True}, local_time=wall(at))).audience.local_ms is not None
        return
    with pytest.raises(InvalidField) as error:
        await broadcast(house, {"all": True}, local_time=wall(at))
    assert error.value.field == "local_time"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"local_time": "2026-02-30T09:00"}, "local_time"),
        ({"local_time": "2026-12-01T09:00", "send_at": "2026-12-01T09:00:00Z"}, "send_at"),
        ({"local_time": "2026-12-01T09:00", "expires_at": "2026-11-30T19:00:00Z"}, "expires_at"),
    ],
)
async def test_a_local_time_that_cannot_be_is_refused(house, more, field):
    with pytest.raises(InvalidField) as error:
        await broadcast(house, {"all": True}, **more)
    assert error.value.field == field


@pytest.mark.parametrize("text", ["2026-12-01", "2026-12-01T09:00Z", "2026-12-01T09:00+01:00", "tomorrow"])
def test_a_local_time_has_no_zone(text):
    with pytest.raises(msgspec.ValidationError, match="local_time"):
        msgspec.convert({"audience": {"all": True}, "template": "hello", "local_time": text}, BroadcastIn)
