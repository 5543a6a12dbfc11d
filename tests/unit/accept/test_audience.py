"""Audiences of broadcasts: a segment's filter is frozen when the broadcast is accepted, a local time is checked for all."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from clarion.accept.shapes import BroadcastIn
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import LOCAL_LATE_MS_MAX, SCHEDULE_AHEAD_MS_MAX
from clarion.domain.segment import Filter, Segment
from clarion.journal.events import Audience
from tests.contract.controls import ControlPlane, migrated
from tests.registries import definitions_of, templates_of
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
async def installation(empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path)
    await templates_of(installation.control).put(T, Template("hello", 0, None, {Channel.SMS: {"body": "x"}}))
    await installation.control.topics.put(T, "news", "")
    await definitions_of(installation.control, installation.clock).put(
        T, Segment.KIND, "romans", msgspec.json.encode(Segment(ROME))
    )
    yield installation
    await installation.close()


async def broadcast(installation, audience, **more):
    body = msgspec.convert({"audience": audience, "template": "hello", **more}, BroadcastIn)
    return (await admission(installation.directory, T, body, NOW_MS)).broadcast(body)


def wall(at):
    return at.replace(tzinfo=None).isoformat()


async def test_a_segments_filter_is_frozen_at_acceptance(installation):
    frozen = (await broadcast(installation, {"segment": "romans"})).audience
    assert frozen == Audience(segment="romans", filter=msgspec.json.encode(ROME))
    await definitions_of(installation.control, installation.clock).remove(T, Segment.KIND, "romans")
    installation.settle()
    await installation.directory.refresh()
    with pytest.raises(InvalidField) as error:
        await broadcast(installation, {"segment": "romans"})
    assert (error.value.field, error.value.code) == ("audience.segment", "unknown_segment")
    assert msgspec.json.decode(frozen.filter, type=Filter) == ROME


@pytest.mark.parametrize("audience", [{"all": True}, {"topic": "news"}])
async def test_other_audiences_have_no_filter(installation, audience):
    assert (await broadcast(installation, audience)).audience == Audience(audience.get("topic"))


@pytest.mark.parametrize(
    "audience", [{}, {"all": True, "segment": "romans"}, {"topic": "news", "segment": "romans"}, {"all": False}]
)
async def test_an_audience_is_exactly_one_thing(installation, audience):
    with pytest.raises(InvalidField) as error:
        await broadcast(installation, audience)
    assert error.value.field == "audience"


@pytest.mark.parametrize("text", ["2026-12-01T09:00", "2026-12-01T09:00:00"])
async def test_a_local_time_begins_in_the_earliest_zone(installation, text):
    job = await broadcast(installation, {"segment": "romans"}, local_time=text)
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
async def test_a_local_time_is_nowhere_past_and_at_most_a_year_ahead(installation, at, good):
    if good:
        assert (await broadcast(installation, {"all": True}, local_time=wall(at))).audience.local_ms is not None
        return
    with pytest.raises(InvalidField) as error:
        await broadcast(installation, {"all": True}, local_time=wall(at))
    assert error.value.field == "local_time"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"local_time": "2026-02-30T09:00"}, "local_time"),
        ({"local_time": "2026-12-01T09:00", "send_at": "2026-12-01T09:00:00Z"}, "send_at"),
        ({"local_time": "2026-12-01T09:00", "expires_at": "2026-11-30T19:00:00Z"}, "expires_at"),
    ],
)
async def test_an_impossible_local_time_is_refused(installation, more, field):
    with pytest.raises(InvalidField) as error:
        await broadcast(installation, {"all": True}, **more)
    assert error.value.field == field


@pytest.mark.parametrize("text", ["2026-12-01", "2026-12-01T09:00Z", "2026-12-01T09:00+01:00", "tomorrow"])
def test_a_local_time_has_no_zone(text):
    with pytest.raises(msgspec.ValidationError, match="local_time"):
        msgspec.convert({"audience": {"all": True}, "template": "hello", "local_time": text}, BroadcastIn)
