"""Choices of users, over a real store: preferences with an end, quiet hours, the history of consent, contacts, last seen."""

import json

import pytest

from clarion.domain.channel import Channel
from clarion.domain.errors import Forbidden, InvalidField, NotFound
from clarion.domain.limits_processes import SEEN_EVERY_MS
from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.domain.user import Choice
from tests import lookups
from tests.contract.controls import ControlPlane

UNTIL = {"allowed": False, "until": "2026-01-01T00:00:00Z"}
UNTIL_MS = 1_767_225_600_000
NIGHT = {"windows": [{"start": "22:00", "end": "08:00"}], "channels": ["sms"]}
NIGHTS = QuietHours((QuietWindow("22:00", "08:00"),), (Channel.SMS,))
PREFERENCES, QUIET, CONSENTS = (f"/v1/users/ana/{name}" for name in ("preferences", "quiet-hours", "consents"))


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await control_plane.call("PUT", "/v1/categories/orders", {})
    await control_plane.call("PUT", "/v1/categories/security", {"critical": True})
    await control_plane.call("PUT", "/v1/users/ana", {})
    yield control_plane
    await control_plane.close()


async def profile(control_plane, user_id="ana"):
    user = (await lookups.users(control_plane.directory, "acme", [user_id]))[user_id]
    return (await control_plane.directory.profiles([user.profile_id]))[user.profile_id]


async def history(control_plane, user_id="ana"):
    """Return (entry, choice, end, source) of each change, newest first."""
    page = await control_plane.say("GET", f"/v1/users/{user_id}/consents")
    return [
        (f"{entry['category']}.{entry['channel']}", entry["allowed"], entry["until"], entry["source"])
        for entry in page["data"]
    ]


async def test_a_choice_with_an_end_is_what_planning_reads_and_the_api_shows(control_plane):
    wanted = {"orders": {"sms": UNTIL, "email": True}, "*": {"*": UNTIL | {"allowed": True}}}
    assert await control_plane.say("PUT", PREFERENCES, wanted) == wanted == await control_plane.say("GET", PREFERENCES)
    assert (await control_plane.say("GET", "/v1/users/ana"))["preferences"] == wanted
    assert (await profile(control_plane)).preferences == {
        "orders": {"sms": Choice(False, UNTIL_MS), "email": True},
        "*": {"*": Choice(True, UNTIL_MS)},
    }


async def test_saying_no_to_a_critical_category_is_refused_wherever_it_is_said(control_plane):
    no = {"security": {"sms": False}}
    for target, body, field in (
        (PREFERENCES, no, "security.sms"),
        ("/v1/users/ana", {"preferences": no}, "preferences.security.sms"),
        ("/v1/preferences/defaults", no, "security.sms"),
    ):
        with pytest.raises(InvalidField) as refused:
            await control_plane.call("PUT", target, body)
        assert (refused.value.field, refused.value.code) == (field, "critical_category")
    report = await control_plane.import_pieces([json.dumps({"id": "bo", "preferences": no}).encode()])
    assert [error["field"] for error in report["errors"]] == ["preferences.security.sms"]
    assert await history(control_plane) == []


async def test_quiet_hours_are_ones_own_until_they_are_removed(control_plane):
    with pytest.raises(NotFound):
        await control_plane.call("GET", QUIET)
    shown = await control_plane.say("PUT", QUIET, NIGHT)
    assert (
        shown
        == NIGHT
        == await control_plane.say("GET", QUIET)
        == (await control_plane.say("GET", "/v1/users/ana"))["quiet_hours"]
    )
    assert (await profile(control_plane)).quiet_hours == NIGHTS
    await control_plane.call("PUT", "/v1/users/ana", {"zone": "Asia/Tokyo"})
    assert ((await profile(control_plane)).zone, (await profile(control_plane)).quiet_hours is None) == (
        "Asia/Tokyo",
        False,
    )
    never = await control_plane.say("PUT", QUIET, {})
    assert never["windows"] == [] and "push" in never["channels"]
    assert (await profile(control_plane)).quiet_hours == QuietHours()
    assert (await control_plane.call("DELETE", QUIET)).status == 204
    assert (await profile(control_plane)).quiet_hours is None
    assert (await control_plane.say("GET", "/v1/users/ana"))["quiet_hours"] is None


async def test_quiet_hours_come_with_a_user_and_in_bulk(control_plane):
    for line in ({"id": "bo", "quiet_hours": NIGHT}, {"id": "bo", "locale": "de"}):
        assert (await control_plane.import_pieces([json.dumps(line).encode()]))["failed"] == 0
    assert (await control_plane.say("PUT", "/v1/users/cy", {"quiet_hours": NIGHT}))["quiet_hours"] == NIGHT
    assert await profile(control_plane, "bo") == await profile(control_plane, "cy")
    assert (await profile(control_plane, "bo")).quiet_hours == NIGHTS


async def test_refused_quiet_hours_leave_the_old_ones(control_plane):
    await control_plane.call("PUT", QUIET, NIGHT)
    with pytest.raises(InvalidField) as refused:
        await control_plane.call("PUT", QUIET, {"windows": [{"start": "22:00", "end": "25:00"}]})
    assert refused.value.field == "windows[0].end"
    assert await control_plane.say("GET", QUIET) == NIGHT
    for method, body in (("PUT", NIGHT), ("DELETE", None)):
        with pytest.raises(NotFound):
            await control_plane.call(method, "/v1/users/nobody/quiet-hours", body)


async def test_every_change_of_an_entry_is_stored_newest_first_with_its_source(control_plane):
    await control_plane.call("PUT", PREFERENCES, {"orders": {"sms": True, "email": False}})
    await control_plane.call("PUT", PREFERENCES, {"orders": {"sms": UNTIL, "email": False}})
    await control_plane.call("PUT", "/v1/me/preferences", {"orders": {"sms": UNTIL}}, user="ana")
    await control_plane.call("PUT", "/v1/users/ana", {"locale": "de"})
    await control_plane.call("PUT", "/v1/users/ana", {"preferences": {"orders": {"sms": UNTIL}, "*": {"push": True}}})
    assert await history(control_plane) == [
        ("*.push", True, None, "key"),
        ("orders.email", None, None, "user"),
        ("orders.sms", False, UNTIL["until"], "key"),
        ("orders.sms", True, None, "key"),
        ("orders.email", False, None, "key"),
    ]
    first = await control_plane.say("GET", CONSENTS, limit="2")
    second = await control_plane.say("GET", CONSENTS, limit="3", after=first["next"])
    assert [entry["channel"] for entry in first["data"] + second["data"]] == ["push", "email", "sms", "sms", "email"]
    assert second["next"] is None and first["data"][0]["at"] == "2023-11-14T22:13:20Z"


async def test_a_bulk_import_keeps_the_history_line_by_line(control_plane):
    lines = [{"id": "bo", "preferences": {"orders": {"sms": allowed}}} for allowed in (True, False)]
    lines += [{"id": "bo", "zone": "Asia/Tokyo"}, {"id": "cy", "preferences": {"*": {"sms": False}}}]
    await control_plane.import_pieces(["\n".join(map(json.dumps, lines)).encode()])
    assert await history(control_plane, "bo") == [("orders.sms", False, None, "key"), ("orders.sms", True, None, "key")]
    assert await history(control_plane, "cy") == [("*.sms", False, None, "key")]


async def test_the_history_is_erased_with_its_user_and_nobody_elses(control_plane):
    await control_plane.call("PUT", "/v1/users/bo", {"preferences": {"*": {"sms": False}}})
    await control_plane.call("PUT", PREFERENCES, {"*": {"sms": False}})
    await control_plane.call("DELETE", "/v1/users/ana")
    with pytest.raises(NotFound):
        await control_plane.call("GET", CONSENTS)
    await control_plane.call("PUT", "/v1/users/ana", {})
    assert await history(control_plane) == []
    assert len(await history(control_plane, "bo")) == 1


async def test_a_cursor_of_another_list_is_refused(control_plane):
    topics = [f"t{number}" for number in range(2)]
    for topic in topics:
        await control_plane.call("PUT", f"/v1/topics/{topic}", {})
    cursor = (await control_plane.say("GET", "/v1/topics", limit="1"))["next"]
    with pytest.raises(InvalidField) as refused:
        await control_plane.call("GET", CONSENTS, after=cursor)
    assert refused.value.field == "after"


async def test_a_user_chooses_for_themselves_alone(control_plane):
    await control_plane.call("PUT", "/v1/users/bo", {})
    assert await control_plane.say("PUT", "/v1/me/preferences", {"orders": {"sms": False}}, user="bo") == {
        "orders": {"sms": False}
    }
    assert await control_plane.say("PUT", "/v1/me/quiet-hours", NIGHT, user="bo") == NIGHT
    assert await control_plane.say("GET", "/v1/me/quiet-hours", user="bo") == NIGHT
    assert (await profile(control_plane)).preferences == {} and (await profile(control_plane)).quiet_hours is None
    assert (await control_plane.call("DELETE", "/v1/me/quiet-hours", user="bo")).status == 204
    with pytest.raises(NotFound):
        await control_plane.call("GET", "/v1/me/preferences", user="nobody")
    for method, body in (("GET", None), ("PUT", {})):
        with pytest.raises(Forbidden):
            await control_plane.call(method, "/v1/me/preferences", body)


async def test_a_user_reads_the_names_of_categories(control_plane):
    await control_plane.call("PUT", "/v1/categories/orders", {"name": "Your orders"})
    assert await control_plane.say("GET", "/v1/me/categories", user="ana") == {
        "data": [
            {"key": "orders", "name": "Your orders", "critical": False},
            {"key": "security", "name": None, "critical": True},
        ],
        "next": None,
    }
    first = await control_plane.say("GET", "/v1/me/categories", user="ana", limit="1")
    rest = await control_plane.say("GET", "/v1/me/categories", user="ana", after=first["next"])
    assert [one["key"] for one in rest["data"]] == ["security"]


async def test_further_contacts_are_shown_and_planned_with_and_replaced_as_a_whole(control_plane):
    shown = await control_plane.say("PUT", "/v1/users/ana", {"contacts": {"email": ["a@example.com", "b@EXAMPLE.com"]}})
    assert shown["contacts"] == {"email": ["a@example.com", "b@example.com"]}
    assert (await lookups.users(control_plane.directory, "acme", ["ana"]))["ana"].more_contacts == {
        "email": ("a@example.com", "b@example.com")
    }
    assert (await control_plane.say("PUT", "/v1/users/ana", {}))["contacts"] == {}
    assert (await lookups.users(control_plane.directory, "acme", ["ana"]))["ana"].more_contacts == {}


async def test_last_seen_is_set_by_the_api_or_noted_once_an_hour(control_plane):
    async def seen():
        return (await control_plane.say("GET", "/v1/users/ana"))["last_seen_at"]

    users = control_plane.control.users
    assert await seen() is None
    shown = await control_plane.say("PUT", "/v1/users/ana", {"last_seen_at": "2023-11-14T20:00:00+01:00"})
    assert shown["last_seen_at"] == "2023-11-14T19:00:00Z"
    await control_plane.call("PUT", "/v1/users/ana", {})
    assert await seen() == "2023-11-14T19:00:00Z"
    await users.touch("acme", "ana")
    await users.touch("other", "ana")
    assert await seen() == "2023-11-14T22:13:20Z"
    control_plane.clock.wall_ms += SEEN_EVERY_MS - 1
    await users.touch("acme", "ana")
    assert await seen() == "2023-11-14T22:13:20Z"
    control_plane.clock.wall_ms += 1
    await users.touch("acme", "ana")
    assert await seen() == "2023-11-14T23:13:20Z"
    await users.touch("acme", "nobody")
