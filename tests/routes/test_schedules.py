"""Schedules over the control API: refusals with their path, responses, and timers."""

from datetime import datetime

import msgspec
import pytest

from clarion.control.schedules.timers import repair_timers
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import DATA_BYTES_MAX, SCHEDULE_PREVIEW_TIMES
from clarion.domain.schedule import Schedule
from clarion.journal.codec import decode
from clarion.journal.events import OccurrenceFrame
from clarion.journal.schedules import schedule_partition
from clarion.ports.stage_store import StageResult
from tests.contract.controls import PARTITIONS, ControlPlane
from tests.look import Glance
from tests.registries import definitions_of

DAY_MS = 24 * 3600 * 1000
DIGEST = {"to": {"topic": "riders"}, "template": "weekly", "cron": "0 9 * * MON", "zone": "Europe/Rome"}
FIRST_AT = "2023-11-20T08:00:00Z"
ADA = {"to": {"user_id": "ada"}, "template": "weekly", "rrule": "FREQ=DAILY;COUNT=2", "start": "2023-11-15T09:00"}


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await control_plane.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    await control_plane.call("PUT", "/v1/categories/news", {})
    await control_plane.call("PUT", "/v1/topics/riders", {})
    await control_plane.call("PUT", "/v1/users/ada", {})
    await control_plane.call("PUT", "/v1/templates/weekly", {"channels": {"inapp": {"title": "Your week"}}})
    await control_plane.call("PUT", "/v1/templates/rides", {"channels": {"inapp": {"title": "{{ rides }} rides"}}})
    yield control_plane
    await control_plane.close()


async def refused(control_plane, body, key="digest"):
    with pytest.raises(InvalidField) as error:
        await control_plane.call("PUT", f"/v1/schedules/{key}", body)
    with pytest.raises(NotFound):
        await control_plane.call("GET", f"/v1/schedules/{key}")
    assert Glance(control_plane.journal).next_due_ms() is None
    return error.value.field


async def fired(control_plane, later_ms=10 * 365 * DAY_MS):
    """Return the occurrences whose timers fire until then: (schedule, version, due)."""
    await control_plane.journal.fire(control_plane.clock.now_ms() + later_ms, 1_000)
    stored = [f for p in range(PARTITIONS) for f in Glance(control_plane.journal).read("accepted.bulk", p, 0, 1_000)]
    found = []
    for frame in stored:
        event = decode(frame.payload)
        assert isinstance(event, OccurrenceFrame)
        assert event.tenants == ["acme"]
        assert frame.partition == schedule_partition("acme", event.keys[0], PARTITIONS)
        found.append((event.keys[0], event.versions[0], event.due_ms[0]))
    return found


def at_ms(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


async def test_a_schedule_is_put_shown_listed_and_removed(control_plane):
    shown = await control_plane.say("PUT", "/v1/schedules/digest", DIGEST)
    assert shown | DIGEST == shown
    assert (shown["key"], shown["version"], shown["enabled"], shown["latest"]) == ("digest", 1, True, None)
    assert shown["next_at"] == FIRST_AT
    assert await control_plane.say("GET", "/v1/schedules/digest") == shown
    (listed,) = (await control_plane.say("GET", "/v1/schedules"))["data"]
    assert listed == {name: shown[name] for name in listed}
    assert (await control_plane.call("DELETE", "/v1/schedules/digest")).status == 204
    for method in ("GET", "DELETE"):
        with pytest.raises(NotFound):
            await control_plane.call(method, "/v1/schedules/digest")


async def test_other_tenants_see_and_change_nothing_of_it(control_plane):
    await control_plane.call("PUT", "/v1/schedules/digest", DIGEST)
    await control_plane.call("PUT", "/v1/tenants/other", {"name": "Other"})
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause")):
        with pytest.raises(NotFound):
            await control_plane.call(method, f"/v1/schedules/digest{path}", tenant="other")
    assert (await control_plane.say("GET", "/v1/schedules", tenant="other"))["data"] == []


async def test_its_timer_is_set_for_the_next_occurrence(control_plane):
    await control_plane.call("PUT", "/v1/schedules/digest", DIGEST)
    assert Glance(control_plane.journal).next_due_ms() == at_ms(FIRST_AT)
    assert await fired(control_plane) == [("digest", 1, at_ms(FIRST_AT))]


async def test_put_again_it_stays_the_version_and_has_one_timer(control_plane):
    for _ in range(3):
        assert (await control_plane.say("PUT", "/v1/schedules/digest", DIGEST))["version"] == 1
    changed = await control_plane.say("PUT", "/v1/schedules/digest", DIGEST | {"name": "Monday"})
    assert changed["version"] == 2
    assert sorted(await fired(control_plane)) == [("digest", 1, at_ms(FIRST_AT)), ("digest", 2, at_ms(FIRST_AT))]


async def test_paused_it_has_no_next_occurrence_until_it_is_resumed(control_plane):
    await control_plane.call("PUT", "/v1/schedules/digest", DIGEST)
    await fired(control_plane)
    paused = await control_plane.say("POST", "/v1/schedules/digest/pause")
    assert (paused["enabled"], paused["next_at"], paused["version"]) == (False, None, 2)
    assert Glance(control_plane.journal).next_due_ms() is None
    resumed = await control_plane.say("POST", "/v1/schedules/digest/resume")
    assert (resumed["enabled"], resumed["next_at"], resumed["version"]) == (True, FIRST_AT, 3)
    assert Glance(control_plane.journal).next_due_ms() == at_ms(FIRST_AT)


async def test_local_time_begins_where_the_day_does(control_plane):
    body = {"to": {"all": True}, "template": "weekly", "cron": "0 9 * * *", "local_time": True}
    assert (await control_plane.say("PUT", "/v1/schedules/wave", body))["next_at"] == "2023-11-15T19:00:00Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": {}}, "to"),
        ({"to": {"all": True, "topic": "riders"}}, "to"),
        ({"to": {"user_id": "nobody"}}, "to.user_id"),
        ({"to": {"topic": "nothing"}}, "to.topic"),
        ({"to": {"segment": "nothing"}}, "to.segment"),
        ({"template": "nothing"}, "template"),
        ({"template": None}, "template"),
        ({"workflow": "nothing"}, "template"),
        ({"template": None, "workflow": "nothing"}, "workflow"),
        ({"template": None, "workflow": "nothing", "channels": ["inapp"]}, "channels"),
        ({"template": "rides"}, "data.rides"),
        ({"channels": ["email"]}, "channels"),
        ({"category": "nothing"}, "category"),
        ({"cron": None}, "cron"),
        ({"cron": "0 9 * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "0 0 */31 * MON#2"}, "cron"),
        ({"cron": None, "rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "start": "2023-01-01T00:00"}, "rrule"),
        ({"cron": None, "rrule": "FREQ=DAILY;UNTIL=20230101", "start": "2022-01-01T00:00"}, "rrule"),
        ({"cron": None, "rrule": "FREQ=SECONDLY", "start": "2023-01-01T00:00"}, "rrule"),
        ({"cron": None, "rrule": "FREQ=DAILY"}, "start"),
        ({"zone": "Mars/Base"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"local_time": True}, "zone"),
        ({"too_late": "soon"}, "too_late"),
        ({"too_late": "1s"}, "too_late"),
        ({"too_late": "8d"}, "too_late"),
        ({"expires_after": "2y"}, "expires_after"),
        ({"expires_after": "400d"}, "expires_after"),
        ({"data": {"n": 1 << 64}}, "data.n"),
        ({"data": {"text": "x" * DATA_BYTES_MAX}}, "data"),
        ({"name": "a\nb"}, "name"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_stored(control_plane, change, field):
    body = {name: value for name, value in (DIGEST | change).items() if value is not None}
    assert await refused(control_plane, body) == field


async def test_a_bad_key_is_refused(control_plane):
    with pytest.raises(InvalidField, match="letters"):
        await control_plane.call("PUT", "/v1/schedules/no spaces", DIGEST)


async def test_what_is_over_can_be_put_again_but_not_anew(control_plane):
    await control_plane.call("PUT", "/v1/schedules/twice", ADA)
    control_plane.clock.wall_ms += 10 * DAY_MS
    again = await control_plane.say("PUT", "/v1/schedules/twice", ADA)
    assert (again["version"], again["next_at"]) == (1, None)
    with pytest.raises(InvalidField):
        await control_plane.call("PUT", "/v1/schedules/twice", ADA | {"name": "new"})


async def test_preview_shows_the_next_ten_on_the_clocks_that_people_look_at(control_plane):
    found = await control_plane.say("POST", "/v1/schedules/preview", {"cron": "30 2 * * *", "zone": "Europe/Rome"})
    assert len(found["occurrences"]) == SCHEDULE_PREVIEW_TIMES
    assert found["occurrences"][0] == {"at": "2023-11-15T01:30:00Z", "local": "2023-11-15T02:30"}
    short = await control_plane.say("POST", "/v1/schedules/preview", {"rrule": ADA["rrule"], "start": ADA["start"]})
    assert [one["local"] for one in short["occurrences"]] == ["2023-11-15T09:00", "2023-11-16T09:00"]
    wave = await control_plane.say("POST", "/v1/schedules/preview", {"cron": "0 9 * * *", "local_time": True})
    assert wave["occurrences"][0] == {"at": "2023-11-15T19:00:00Z", "local": "2023-11-16T09:00"}
    for body, field in (({}, "cron"), ({"cron": "x"}, "cron"), ({"cron": "* * * * *", "zone": "Mars"}, "zone")):
        with pytest.raises(InvalidField) as error:
            await control_plane.call("POST", "/v1/schedules/preview", body)
        assert error.value.field == field


async def test_a_schedule_whose_timer_was_never_set_gets_it_when_repaired(control_plane):
    await definitions_of(control_plane.control, control_plane.clock).put(
        "acme", Schedule.KIND, "orphan", msgspec.json.encode(DIGEST)
    )
    await control_plane.call("PUT", "/v1/schedules/digest", DIGEST)
    await control_plane.call("PUT", "/v1/schedules/resting", DIGEST | {"enabled": False})
    for _ in range(2):
        assert await repair_timers(control_plane.control, control_plane.journal, control_plane.clock.now_ms()) == 2
    assert sorted(await fired(control_plane)) == [("digest", 1, at_ms(FIRST_AT)), ("orphan", 1, at_ms(FIRST_AT))]


async def test_one_whose_timer_could_not_be_set_is_put_again(control_plane):
    append = control_plane.journal.commit

    async def die(_: StageResult):
        raise SystemExit

    control_plane.journal.commit = die
    with pytest.raises(SystemExit):
        await control_plane.call("PUT", "/v1/schedules/digest", DIGEST)
    control_plane.journal.commit = append
    assert Glance(control_plane.journal).next_due_ms() is None
    assert (await control_plane.say("PUT", "/v1/schedules/digest", DIGEST))["version"] == 1
    assert Glance(control_plane.journal).next_due_ms() == at_ms(FIRST_AT)


async def test_the_data_of_a_schedule_is_what_its_template_takes(control_plane):
    line = {"channels": {"inapp": {"title": "{{ week.rides }} rides"}}, "sample": {"data": {"week": {"rides": 7}}}}
    await control_plane.call("PUT", "/v1/templates/rides", line)
    for data, field in (
        ({}, "data.week"),
        ({"week": {}}, "data.week.rides"),
        ({"week": {"rides": []}}, "data.week.rides"),
    ):
        assert await refused(control_plane, {**DIGEST, "template": "rides", "data": data}) == field
    stored = await control_plane.say(
        "PUT", "/v1/schedules/digest", {**DIGEST, "template": "rides", "data": {"week": {"rides": 3}}}
    )
    assert stored["data"] == {"week": {"rides": 3}}
