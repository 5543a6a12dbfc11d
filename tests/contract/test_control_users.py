"""Guarantees of the control store for users and their choices: quiet hours, history of consent, contacts, last seen."""

import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.limits_processes import SEEN_EVERY_MS
from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.domain.user import Choice, Device, UserWrite
from clarion.ports.control_accounts import ProviderWrite
from clarion.ports.control_users import ConsentRecord
from tests import lookups
from tests.registries import categories_of, definitions_of, templates_of

PORT = "control"
T = "acme"
NIGHT = '{"windows":[{"start":"22:00","end":"08:00"}],"channels":["sms"]}'
NIGHTS = QuietHours((QuietWindow("22:00", "08:00"),), (Channel.SMS,))


async def profile(control_plane, user_id="ana"):
    user = (await lookups.users(control_plane.directory, T, [user_id]))[user_id]
    return (await control_plane.directory.profiles([user.profile_id]))[user.profile_id]


async def consents(control_plane, user_id="ana", before=None, limit=9):
    page = await control_plane.control.consents.page(T, user_id, before, limit)
    return [(one.sequence, one.category, one.channel, one.allowed, one.until_ms, one.source) for one in page]


async def test_a_user_never_seen_before_has_nothing(control_plane):
    await control_plane.control.users.put_many(T, [UserWrite("ana")])
    user = await control_plane.control.users.get(T, "ana")
    assert (user.attributes, user.preferences, user.quiet_hours, user.devices, user.more_contacts) == (
        {},
        {},
        None,
        (),
        {},
    )
    assert (user.last_seen_ms, user.email, user.locale, user.zone) == (None, None, "", "")
    assert user.created_ms == user.updated_ms == control_plane.clock.wall_ms
    assert await control_plane.control.users.get(T, "bo") is None
    assert await control_plane.control.consents.page(T, "ana", None, 9) == []
    assert await control_plane.control.consents.page(T, "bo", None, 9) is None
    assert await control_plane.control.consents.page("other", "ana", None, 9) is None


async def test_users_are_paged_in_the_order_of_their_ids(control_plane):
    await control_plane.control.users.put_many(T, [UserWrite(name) for name in ("b", "a", "ü", "B", "a2")])
    users = control_plane.control.users
    assert [user.user_id for user in await users.page(T, "", 9)] == ["B", "a", "a2", "b", "ü"]
    assert [user.user_id for user in await users.page(T, "a", 2)] == ["a2", "b"]
    assert await users.page(T, "ü", 9) == await users.page("other", "", 9) == []


async def test_a_change_moves_the_time_and_leaves_that_of_the_creation(control_plane):
    users, began_ms = control_plane.control.users, control_plane.clock.wall_ms
    await users.put_many(T, [UserWrite("ana")])
    for change in (
        lambda: users.put_many(T, [UserWrite("ana", locale="de")]),
        lambda: users.set_preferences(T, "ana", '{"*":{"sms":false}}'),
        lambda: users.set_quiet_hours(T, "ana", NIGHT),
        lambda: users.put_device(T, "ana", Device("d", "push", "t")),
        lambda: users.remove_device(T, "ana", "d"),
    ):
        control_plane.clock.wall_ms += 5
        await change()
        user = await users.get(T, "ana")
        assert (user.created_ms, user.updated_ms) == (began_ms, control_plane.clock.wall_ms)


async def test_quiet_hours_are_ones_own_until_they_are_taken_back(control_plane):
    users = control_plane.control.users
    assert not await users.set_quiet_hours(T, "ana", NIGHT)
    await users.put_many(T, [UserWrite("ana", quiet_hours=NIGHT)])
    assert (await users.get(T, "ana")).quiet_hours == NIGHTS == (await profile(control_plane)).quiet_hours
    await users.put_many(T, [UserWrite("ana", zone="Asia/Tokyo")])
    assert ((await profile(control_plane)).zone, (await profile(control_plane)).quiet_hours) == ("Asia/Tokyo", NIGHTS)
    assert await users.set_quiet_hours(T, "ana", "{}")
    assert (await profile(control_plane)).quiet_hours == QuietHours()
    assert await users.set_quiet_hours(T, "ana", "")
    assert (await profile(control_plane)).quiet_hours is (await users.get(T, "ana")).quiet_hours is None
    await users.put_many(T, [UserWrite("ana", quiet_hours=NIGHT), UserWrite("ana", quiet_hours="")])
    assert (await profile(control_plane)).quiet_hours is None


async def test_every_change_of_an_entry_is_stored_newest_first_with_its_source(control_plane):
    users = control_plane.control.users
    await users.put_many(T, [UserWrite("ana", preferences='{"orders":{"email":false,"sms":true}}')], "key")
    control_plane.clock.wall_ms += 5
    await users.set_preferences(T, "ana", '{"orders":{"email":false,"sms":{"allowed":false,"until_ms":99}}}', "user")
    await users.put_many(T, [UserWrite("ana", locale="de")], "key")
    await users.put_many(T, [UserWrite("ana", preferences='{"*":{"push":true}}')], "key")
    assert await consents(control_plane) == [
        (6, "orders", "sms", None, None, "key"),
        (5, "orders", "email", None, None, "key"),
        (4, "*", "push", True, None, "key"),
        (3, "orders", "sms", False, 99, "user"),
        (2, "orders", "sms", True, None, "key"),
        (1, "orders", "email", False, None, "key"),
    ]
    assert [one[0] for one in await consents(control_plane, before=5, limit=2)] == [4, 3]
    (last,) = await control_plane.control.consents.page(T, "ana", 2, 9)
    assert last == ConsentRecord(1, control_plane.clock.wall_ms - 5, "orders", "email", False, None, "key")
    assert not await users.set_preferences(T, "nobody", "{}", "user")


async def test_a_batch_keeps_the_history_line_by_line(control_plane):
    lines = [UserWrite("ana", preferences=f'{{"*":{{"sms":{allowed}}}}}') for allowed in ("true", "false")]
    await control_plane.control.users.put_many(T, [*lines, UserWrite("bo", preferences='{"*":{"sms":false}}')], "key")
    assert await consents(control_plane) == [(2, "*", "sms", False, None, "key"), (1, "*", "sms", True, None, "key")]
    assert await consents(control_plane, "bo") == [(1, "*", "sms", False, None, "key")]


async def test_a_user_who_comes_back_begins_anew(control_plane):
    users = control_plane.control.users
    whole = UserWrite("ana", preferences='{"*":{"sms":false}}', devices=(Device("d", "push", "t"),), quiet_hours=NIGHT)
    await users.put_many(T, [whole, UserWrite("bo", preferences='{"*":{"sms":false}}')])
    await users.erase(T, "ana")
    await users.put_many(T, [UserWrite("ana")])
    user = await users.get(T, "ana")
    assert (user.preferences, user.devices, user.quiet_hours) == ({}, (), None)
    assert (await consents(control_plane), len(await consents(control_plane, "bo"))) == ([], 1)


async def test_a_choice_with_an_end_is_what_planning_reads(control_plane):
    text = '{"*":{"*":{"allowed":true,"until_ms":7}},"orders":{"email":true}}'
    await control_plane.control.users.put_many(T, [UserWrite("ana", preferences=text)])
    wanted = {"*": {"*": Choice(True, 7)}, "orders": {"email": True}}
    assert (
        (await profile(control_plane)).preferences
        == wanted
        == (await control_plane.control.users.get(T, "ana")).preferences
    )


async def test_further_contacts_are_replaced_as_a_whole(control_plane):
    users, more = control_plane.control.users, '{"email":["a@example.com","b@example.com"]}'
    await users.put_many(T, [UserWrite("ana", more_contacts=more)])
    wanted = {"email": ("a@example.com", "b@example.com")}
    assert (
        (await users.get(T, "ana")).more_contacts
        == wanted
        == (await lookups.users(control_plane.directory, T, ["ana"]))["ana"].more_contacts
    )
    await users.put_many(T, [UserWrite("ana")])
    assert (await lookups.users(control_plane.directory, T, ["ana"]))["ana"].more_contacts == {}


async def test_last_seen_is_set_explicitly_or_noted_at_intervals(control_plane):
    users = control_plane.control.users

    async def seen():
        return (await users.get(T, "ana")).last_seen_ms

    await users.put_many(T, [UserWrite("ana", last_seen_ms=5)])
    await users.put_many(T, [UserWrite("ana")])
    assert await seen() == 5
    await users.touch(T, "ana")
    await users.touch("other", "ana")
    first_ms = control_plane.clock.wall_ms
    assert await seen() == first_ms
    control_plane.clock.wall_ms += SEEN_EVERY_MS - 1
    await users.touch(T, "ana")
    assert await seen() == first_ms
    control_plane.clock.wall_ms += 1
    await users.touch(T, "ana")
    assert await seen() == first_ms + SEEN_EVERY_MS
    await users.touch(T, "nobody")
    assert await users.get(T, "nobody") is None


@pytest.mark.parametrize("area", ["tenants", "keys", "topics", "categories", "providers", "definitions", "templates"])
async def test_lists_begin_after_a_key_and_end_at_the_limit(control_plane, area):
    control = control_plane.control
    names = ["a", "a2", "b", "c"]
    for name in ("c", "a2", "a", "b"):
        match area:
            case "tenants":
                await control.tenants.put(name, name)
            case "keys":
                await control.keys.create(T, name, ["*"])
            case "topics":
                await control.topics.put(T, name, "")
            case "categories":
                await categories_of(control).put(T, Category(name))
            case "providers":
                await control.providers.put(T, ProviderWrite(name, Channel.SMS, "v", 1, True, {}, None))
            case "definitions":
                await definitions_of(control).put(T, "workflow", name, b"{}")
            case _:
                await templates_of(control).put(T, Template(name, 0, None, {Channel.SMS: {"body": "x"}}))

    async def page(after, limit):
        if area == "tenants":
            return [one.tenant for one in await control.tenants.page(after, limit)]
        if area == "definitions":
            return [one.key for one in await definitions_of(control).page(T, "workflow", after, limit)]
        areas = {"categories": categories_of(control), "templates": templates_of(control)}
        found = await (areas.get(area) or getattr(control, area)).page(T, after, limit)
        return [getattr(one, {"keys": "key_id", "providers": "name"}.get(area, "key")) for one in found]

    if area == "keys":
        names = sorted(await page("", 9))
        assert len(names) == 4
    assert await page("", 9) == names
    assert await page("", 2) == names[:2]
    assert await page(names[1], 1) == names[2:3]
    assert await page(names[3], 9) == []


async def test_what_was_handed_over_or_read_may_be_changed_by_its_holder(control_plane):
    control, settings, defaults = control_plane.control, {"deep": {"n": [1]}}, {"*": {"sms": False}}
    await control.tenants.put(T, "Acme")
    await control.tenants.set_defaults(T, defaults)
    await control.providers.put(T, ProviderWrite("m", Channel.SMS, "v", 1, True, settings, {"k": "s"}))
    await control.users.put_many(T, [UserWrite("ana", attributes='{"deep":{"n":1}}')])
    settings["deep"]["n"].append(2)
    defaults["*"]["sms"] = True
    (await control.tenants.get(T)).defaults["*"]["push"] = False
    (await control.providers.get(T, "m")).settings["deep"]["n"].append(3)
    (await control.users.get(T, "ana")).attributes["deep"]["n"] = 2
    assert (
        (await control.tenants.get(T)).defaults
        == {"*": {"sms": False}}
        == await lookups.defaults(control_plane.directory, T)
    )
    assert (await control.providers.get(T, "m")).settings == {"deep": {"n": [1]}}
    assert (await control_plane.directory.account(T, "m")).settings == {"deep": {"n": [1]}}
    assert (await lookups.users(control_plane.directory, T, ["ana"]))["ana"].attributes == {"deep": {"n": 1}}
