"""Schedules over the control API: what is refused and with which path, what is shown, and the timers that are set."""

from datetime import datetime

import msgspec
import pytest

from clarion.control.schedules.timers import repair_timers
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import DATA_BYTES_MAX
from clarion.domain.limits_deciding import SCHEDULE_PREVIEW_TIMES
from clarion.domain.schedule import Schedule
from clarion.journal.codec import decode
from clarion.journal.events import OccurrenceFrame
from clarion.journal.schedules import schedule_partition
from clarion.ports.stage_store import StageResult
from tests.contract.controls import PARTITIONS, House
from tests.look import Glance

DAY_MS = 24 * 3600 * 1000
DIGEST = {"to": {"topic": "riders"}, "template": "weekly", "cron": "0 9 * * MON", "zone": "Europe/Rome"}
FIRST_AT = "2023-11-20T08:00:00Z"
ADA = {"to": {"user_id": "ada"}, "template": "weekly", "rrule": "FREQ=DAILY;COUNT=2", "start": "2023-11-15T09:00"}


@pytest.fixture
async def house(engine, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, engine)
    await house.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    await house.call("PUT", "/v1/categories/news", {})
    await house.call("PUT", "/v1/topics/riders", {})
    await house.call("PUT", "/v1/users/ada", {})
    await house.call("PUT", "/v1/templates/weekly", {"channels": {"inapp": {"title": "Your week"}}})
    await house.call("PUT", "/v1/templates/rides", {"channels": {"inapp": {"title": "{{ rides }} rides"}}})
    yield house
    await house.close()


async def refused(house, body, key="digest"):
    with pytest.raises(InvalidField) as error:
        await house.call("PUT", f"/v1/schedules/{key}", body)
    with pytest.raises(NotFound):
        await house.call("GET", f"/v1/schedules/{key}")
    assert Glance(house.journal).next_due_ms() is None
    return error.value.field


async def fired(house, later_ms=10 * 365 * DAY_MS):
    """The occurrences whose timers fire until then: (schedule, version, due)."""
    await house.journal.fire(house.clock.now_ms() + later_ms, 1_000)
    stored = [f for p in range(PARTITIONS) for f in Glance(house.journal).read("accepted.bulk", p, 0, 1_000)]
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


async def test_a_schedule_is_put_shown_listed_and_removed(house):
    shown = await house.say("PUT", "/v1/schedules/digest", DIGEST)
    assert shown | DIGEST == shown
    assert (shown["key"], shown["version"], shown["enabled"], shown["latest"]) == ("digest", 1, True, None)
    assert shown["next_at"] == FIRST_AT
    assert await house.say("GET", "/v1/schedules/digest") == shown
    (listed,) = (await house.say("GET", "/v1/schedules"))["data"]
    assert listed == {name: shown[name] for name in listed}
    assert (await house.call("DELETE", "/v1/schedules/digest")).status == 204
    for method in ("GET", "DELETE"):
        with pytest.raises(NotFound):
            await house.call(method, "/v1/schedules/digest")


async def test_other_tenants_see_and_change_nothing_of_it(house):
    await house.call("PUT", "/v1/schedules/digest", DIGEST)
    await house.call("PUT", "/v1/tenants/other", {"name": "Other"})
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause")):
        with pytest.raises(NotFound):
            await house.call(method, f"/v1/schedules/digest{path}", tenant="other")
    assert (await house.say("GET", "/v1/schedules", tenant="other"))["data"] == []


async def test_its_timer_is_set_for_the_next_occurrence(house):
    await house.call("PUT", "/v1/schedules/digest", DIGEST)
    assert Glance(house.journal).next_due_ms() == at_ms(FIRST_AT)
    assert await fired(house) == [("digest", 1, at_ms(FIRST_AT))]


async def test_put_again_it_stays_the_version_and_has_one_timer(house):
    for _ in range(3):
        assert (await house.say("PUT", "/v1/schedules/digest", DIGEST))["version"] == 1
    changed = await house.say("PUT", "/v1/schedules/digest", DIGEST | {"name": "Monday"})
    assert changed["version"] == 2
    assert sorted(await fired(house)) == [("digest", 1, at_ms(FIRST_AT)), ("digest", 2, at_ms(FIRST_AT))]


async def test_paused_it_has_no_next_occurrence_until_it_is_resumed(house):
    await house.call("PUT", "/v1/schedules/digest", DIGEST)
    await fired(house)
    paused = await house.say("POST", "/v1/schedules/digest/pause")
    assert (paused["enabled"], paused["next_at"], paused["version"]) == (False, None, 2)
    assert Glance(house.journal).next_due_ms() is None
    resumed = await house.say("POST", "/v1/schedules/digest/resume")
    assert (resumed["enabled"], resumed["next_at"], resumed["version"]) == (True, FIRST_AT, 3)
    assert Glance(house.journal).next_due_ms() == at_ms(FIRST_AT)


async def test_local_time_begins_where_the_day_does(house):
    body = {"to": {"all": True}, "template": "weekly", "cron": "0 9 * * *", "local_time": True}
    assert (await house.say("PUT", "/v1/schedules/wave", body))["next_at"] == "2023-11-15T19:00:00Z"


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
async def test_what_is_wrong_is_named_and_nothing_is_stored(house, change, field):
    body = {name: value for name, value in (DIGEST | change).items() if value is not None}
    assert await refused(house, body) == field


async def test_a_bad_key_is_refused(house):
    with pytest.raises(InvalidField, match="letters"):
        await house.call("PUT", "/v1/schedules/no spaces", DIGEST)


async def test_what_is_over_can_be_put_again_but_not_anew(house):
    await house.call("PUT", "/v1/schedules/twice", ADA)
    house.clock.wall_ms += 10 * DAY_MS
    again = await house.say("PUT", "/v1/schedules/twice", ADA)
    assert (again["version"], again["next_at"]) == (1, None)
    with pytest.raises(InvalidField):
        await house.call("PUT", "/v1/schedules/twice", ADA | {"name": "new"})


async def test_preview_shows_the_next_ten_on_the_clocks_that_people_look_at(house):
    found = await house.say("POST", "/v1/schedules/preview", {"cron": "30 2 * * *", "zone": "Europe/Rome"})
    assert len(found["occurrences"]) == SCHEDULE_PREVIEW_TIMES
    assert found["occurrences"][0] == {"at": "2023-11-15T01:30:00Z", "local": "2023-11-15T02:30"}
    short = await house.say("POST", "/v1/schedules/preview", {"rrule": ADA["rrule"], "start": ADA["start"]})
    assert [one["local"] for one in short["occurrences"]] == ["2023-11-15T09:00", "2023-11-16T09:00"]
    wave = await house.say("POST", "/v1/schedules/preview", {"cron": "0 9 * * *", "local_time": True})
    assert wave["occurrences"][0] == {"at": "2023-11-15T19:00:00Z", "local": "2023-11-16T09:00"}
    for body, field in (({}, "cron"), ({"cron": "x"}, "cron"), ({"cron": "* * * * *", "zone": "Mars"}, "zone")):
        with pytest.raises(InvalidField) as error:
            await house.call("POST", "/v1/schedules/preview", body)
        assert error.value.field == field


async def test_a_schedule_whose_timer_was_never_set_gets_it_when_repaired(house):
    await house.control.definitions.put("acme", Schedule.KIND, "orphan", msgspec.json.encode(DIGEST))
    await house.call("PUT", "/v1/schedules/digest", DIGEST)
    await house.call("PUT", "/v1/schedules/resting", DIGEST | {"enabled": False})
    for _ in range(2):
        assert await repair_timers(house.control, house.journal, house.clock.now_ms()) == 2
    assert sorted(await fired(house)) == [("digest", 1, at_ms(FIRST_AT)), ("orphan", 1, at_ms(FIRST_AT))]


async def test_one_whose_timer_could_not_be_set_is_put_again(house):
    append = house.journal.commit

    async def die(_: StageResult):
        raise SystemExit

    house.journal.commit = die
    with pytest.raises(SystemExit):
        await house.call("PUT", "/v1/schedules/digest", DIGEST)
    house.journal.commit = append
    assert Glance(house.journal).next_due_ms() is None
    assert (await house.say("PUT", "/v1/schedules/digest", DIGEST))["version"] == 1
    assert Glance(house.journal).next_due_ms() == at_ms(FIRST_AT)


async def test_the_data_of_a_schedule_is_what_its_template_takes(house):
    line = {"channels": {"inapp": {"title": "{{ week.rides }} rides"}}, "sample": {"data": {"week": {"rides": 7}}}}
    await house.call("PUT", "/v1/templates/rides", line)
    for data, field in (
        ({}, "data.week"),
        ({"week": {}}, "data.week.rides"),
        ({"week": {"rides": []}}, "data.week.rides"),
    ):
        assert await refused(house, {**DIGEST, "template": "rides", "data": data}) == field
    stored = await house.say(
        "PUT", "/v1/schedules/digest", {**DIGEST, "template": "rides", "data": {"week": {"rides": 3}}}
    )
    assert stored["data"] == {"week": {"rides": 3}}
