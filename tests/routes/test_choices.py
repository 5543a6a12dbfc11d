"""What users choose, over a real store: preferences with an end, quiet hours, the history of consent, contacts, last seen."""

import json

import pytest

from clarion.domain.channel import Channel
from clarion.domain.errors import Forbidden, InvalidField, NotFound
from clarion.domain.limits_deciding import SEEN_EVERY_MS
from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.domain.user import Choice
from tests import lookups
from tests.contract.controls import House

UNTIL = {"allowed": False, "until": "2026-01-01T00:00:00Z"}
UNTIL_MS = 1_767_225_600_000
NIGHT = {"windows": [{"start": "22:00", "end": "08:00"}], "channels": ["sms"]}
NIGHTS = QuietHours((QuietWindow("22:00", "08:00"),), (Channel.SMS,))
PREFERENCES, QUIET, CONSENTS = (f"/v1/users/ana/{name}" for name in ("preferences", "quiet-hours", "consents"))


@pytest.fixture
async def house(engine, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, engine)
    await house.call("PUT", "/v1/categories/orders", {})
    await house.call("PUT", "/v1/categories/security", {"critical": True})
    await house.call("PUT", "/v1/users/ana", {})
    yield house
    await house.close()


async def profile(house, user_id="ana"):
    user = (await lookups.users(house.directory, "acme", [user_id]))[user_id]
    return (await house.directory.profiles([user.profile_id]))[user.profile_id]


async def history(house, user_id="ana"):
    """Entry, what was said, until when and by whom, newest first."""
    page = await house.say("GET", f"/v1/users/{user_id}/consents")
    return [
        (f"{entry['category']}.{entry['channel']}", entry["allowed"], entry["until"], entry["source"])
        for entry in page["data"]
    ]


async def test_a_choice_with_an_end_is_what_planning_reads_and_the_api_shows(house):
    wanted = {"orders": {"sms": UNTIL, "email": True}, "*": {"*": UNTIL | {"allowed": True}}}
    assert await house.say("PUT", PREFERENCES, wanted) == wanted == await house.say("GET", PREFERENCES)
    assert (await house.say("GET", "/v1/users/ana"))["preferences"] == wanted
    assert (await profile(house)).preferences == {
        "orders": {"sms": Choice(False, UNTIL_MS), "email": True},
        "*": {"*": Choice(True, UNTIL_MS)},
    }


async def test_saying_no_to_a_critical_category_is_refused_wherever_it_is_said(house):
    no = {"security": {"sms": False}}
    for target, body, field in (
        (PREFERENCES, no, "security.sms"),
        ("/v1/users/ana", {"preferences": no}, "preferences.security.sms"),
        ("/v1/preferences/defaults", no, "security.sms"),
    ):
        with pytest.raises(InvalidField) as refused:
            await house.call("PUT", target, body)
        assert (refused.value.field, refused.value.code) == (field, "critical_category")
    report = await house.import_pieces([json.dumps({"id": "bo", "preferences": no}).encode()])
    assert [error["field"] for error in report["errors"]] == ["preferences.security.sms"]
    assert await history(house) == []


async def test_quiet_hours_are_ones_own_until_they_are_removed(house):
    with pytest.raises(NotFound):
        await house.call("GET", QUIET)
    shown = await house.say("PUT", QUIET, NIGHT)
    assert shown == NIGHT == await house.say("GET", QUIET) == (await house.say("GET", "/v1/users/ana"))["quiet_hours"]
    assert (await profile(house)).quiet_hours == NIGHTS
    await house.call("PUT", "/v1/users/ana", {"zone": "Asia/Tokyo"})
    assert ((await profile(house)).zone, (await profile(house)).quiet_hours is None) == ("Asia/Tokyo", False)
    never = await house.say("PUT", QUIET, {})
    assert never["windows"] == [] and "push" in never["channels"]
    assert (await profile(house)).quiet_hours == QuietHours()
    assert (await house.call("DELETE", QUIET)).status == 204
    assert (await profile(house)).quiet_hours is None
    assert (await house.say("GET", "/v1/users/ana"))["quiet_hours"] is None


async def test_quiet_hours_come_with_a_user_and_in_bulk(house):
    for line in ({"id": "bo", "quiet_hours": NIGHT}, {"id": "bo", "locale": "de"}):
        assert (await house.import_pieces([json.dumps(line).encode()]))["failed"] == 0
    assert (await house.say("PUT", "/v1/users/cy", {"quiet_hours": NIGHT}))["quiet_hours"] == NIGHT
    assert await profile(house, "bo") == await profile(house, "cy")
    assert (await profile(house, "bo")).quiet_hours == NIGHTS


async def test_refused_quiet_hours_leave_the_old_ones(house):
    await house.call("PUT", QUIET, NIGHT)
    with pytest.raises(InvalidField) as refused:
        await house.call("PUT", QUIET, {"windows": [{"start": "22:00", "end": "25:00"}]})
    assert refused.value.field == "windows[0].end"
    assert await house.say("GET", QUIET) == NIGHT
    for method, body in (("PUT", NIGHT), ("DELETE", None)):
        with pytest.raises(NotFound):
            await house.call(method, "/v1/users/nobody/quiet-hours", body)


async def test_every_change_of_an_entry_is_kept_newest_first_with_who_told(house):
    await house.call("PUT", PREFERENCES, {"orders": {"sms": True, "email": False}})
    await house.call("PUT", PREFERENCES, {"orders": {"sms": UNTIL, "email": False}})
    await house.call("PUT", "/v1/me/preferences", {"orders": {"sms": UNTIL}}, user="ana")
    await house.call("PUT", "/v1/users/ana", {"locale": "de"})
    await house.call("PUT", "/v1/users/ana", {"preferences": {"orders": {"sms": UNTIL}, "*": {"push": True}}})
    assert await history(house) == [
        ("*.push", True, None, "key"),
        ("orders.email", None, None, "user"),
        ("orders.sms", False, UNTIL["until"], "key"),
        ("orders.sms", True, None, "key"),
        ("orders.email", False, None, "key"),
    ]
    first = await house.say("GET", CONSENTS, limit="2")
    second = await house.say("GET", CONSENTS, limit="3", after=first["next"])
    assert [entry["channel"] for entry in first["data"] + second["data"]] == ["push", "email", "sms", "sms", "email"]
    assert second["next"] is None and first["data"][0]["at"] == "2023-11-14T22:13:20Z"


async def test_a_bulk_import_keeps_the_history_line_by_line(house):
    lines = [{"id": "bo", "preferences": {"orders": {"sms": allowed}}} for allowed in (True, False)]
    lines += [{"id": "bo", "zone": "Asia/Tokyo"}, {"id": "cy", "preferences": {"*": {"sms": False}}}]
    await house.import_pieces(["\n".join(map(json.dumps, lines)).encode()])
    assert await history(house, "bo") == [("orders.sms", False, None, "key"), ("orders.sms", True, None, "key")]
    assert await history(house, "cy") == [("*.sms", False, None, "key")]


async def test_the_history_is_erased_with_its_user_and_nobody_elses(house):
    await house.call("PUT", "/v1/users/bo", {"preferences": {"*": {"sms": False}}})
    await house.call("PUT", PREFERENCES, {"*": {"sms": False}})
    await house.call("DELETE", "/v1/users/ana")
    with pytest.raises(NotFound):
        await house.call("GET", CONSENTS)
    await house.call("PUT", "/v1/users/ana", {})
    assert await history(house) == []
    assert len(await history(house, "bo")) == 1


async def test_a_cursor_of_another_list_is_refused(house):
    topics = [f"t{number}" for number in range(2)]
    for topic in topics:
        await house.call("PUT", f"/v1/topics/{topic}", {})
    cursor = (await house.say("GET", "/v1/topics", limit="1"))["next"]
    with pytest.raises(InvalidField) as refused:
        await house.call("GET", CONSENTS, after=cursor)
    assert refused.value.field == "after"


async def test_a_user_chooses_for_themselves_alone(house):
    await house.call("PUT", "/v1/users/bo", {})
    assert await house.say("PUT", "/v1/me/preferences", {"orders": {"sms": False}}, user="bo") == {
        "orders": {"sms": False}
    }
    assert await house.say("PUT", "/v1/me/quiet-hours", NIGHT, user="bo") == NIGHT
    assert await house.say("GET", "/v1/me/quiet-hours", user="bo") == NIGHT
    assert (await profile(house)).preferences == {} and (await profile(house)).quiet_hours is None
    assert (await house.call("DELETE", "/v1/me/quiet-hours", user="bo")).status == 204
    with pytest.raises(NotFound):
        await house.call("GET", "/v1/me/preferences", user="nobody")
    for method, body in (("GET", None), ("PUT", {})):
        with pytest.raises(Forbidden):
            await house.call(method, "/v1/me/preferences", body)


async def test_further_contacts_are_shown_and_planned_with_and_replaced_as_a_whole(house):
    shown = await house.say("PUT", "/v1/users/ana", {"contacts": {"email": ["a@example.com", "b@EXAMPLE.com"]}})
    assert shown["contacts"] == {"email": ["a@example.com", "b@example.com"]}
    assert (await lookups.users(house.directory, "acme", ["ana"]))["ana"].more_contacts == {
        "email": ("a@example.com", "b@example.com")
    }
    assert (await house.say("PUT", "/v1/users/ana", {}))["contacts"] == {}
    assert (await lookups.users(house.directory, "acme", ["ana"]))["ana"].more_contacts == {}


async def test_when_a_user_was_seen_is_told_or_noticed_once_an_hour(house):
    async def seen():
        return (await house.say("GET", "/v1/users/ana"))["last_seen_at"]

    users = house.control.users
    assert await seen() is None
    shown = await house.say("PUT", "/v1/users/ana", {"last_seen_at": "2023-11-14T20:00:00+01:00"})
    assert shown["last_seen_at"] == "2023-11-14T19:00:00Z"
    await house.call("PUT", "/v1/users/ana", {})
    assert await seen() == "2023-11-14T19:00:00Z"
    await users.touch("acme", "ana")
    await users.touch("other", "ana")
    assert await seen() == "2023-11-14T22:13:20Z"
    house.clock.wall_ms += SEEN_EVERY_MS - 1
    await users.touch("acme", "ana")
    assert await seen() == "2023-11-14T22:13:20Z"
    house.clock.wall_ms += 1
    await users.touch("acme", "ana")
    assert await seen() == "2023-11-14T23:13:20Z"
    await users.touch("acme", "nobody")
