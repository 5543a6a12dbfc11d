"""Guarantees of the control store: durability, atomic writes, and isolation of tenants."""

import asyncio
import subprocess
import sys

import pytest

from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.content import Category, Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.limits import CATEGORIES_PER_TENANT_MAX, DEVICES_PER_USER_MAX
from clarion.domain.quota import TENANT, Quota
from clarion.domain.user import Device, UserWrite
from clarion.ports.control_accounts import ProviderRecord, ProviderWrite, Suppression
from tests import lookups
from tests.contract.backends import SURVIVES
from tests.registries import categories_of, templates_of

PORT = "control"
T = "acme"


@pytest.mark.slow
@pytest.mark.needs_trait(SURVIVES)
async def test_what_was_written_survives_the_kill_of_its_writer(control_plane):
    """The child kills itself as soon as the call has returned."""
    script = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.contract.controls import ControlPlane
from clarion.domain.user import UserWrite
async def main():
    control_plane = ControlPlane(Path(sys.argv[1]), backend=sys.argv[2])
    await control_plane.control.users.put_many("acme", [UserWrite("ana", email="ana@example.com")])
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    command = [sys.executable, "-c", script, str(control_plane.data_dir), control_plane.backend]
    done = await asyncio.to_thread(subprocess.run, command, check=False, env={"PYTHONPATH": "src:."})
    assert done.returncode == -9
    user = await control_plane.control.users.get(T, "ana")
    assert user is not None and user.email == "ana@example.com"


async def test_a_user_is_replaced_but_keeps_what_was_not_stated(control_plane):
    users = control_plane.control.users
    first = UserWrite(
        "ana", email="a@example.com", zone="Europe/Rome", attributes='{"plan":"pro"}',
        preferences='{"*":{"sms":false}}', devices=(Device("d", "push", "t"),),
    )  # fmt: skip
    await users.put_many(T, [first])
    await users.put_many(T, [UserWrite("ana", phone="+12025550143", zone="Asia/Tokyo")])
    user = await users.get(T, "ana")
    assert (user.email, user.phone, user.zone, user.attributes) == (None, "+12025550143", "Asia/Tokyo", {})
    assert user.preferences == {"*": {"sms": False}}
    assert user.devices == (Device("d", "push", "t"),)


async def test_of_two_users_with_one_id_in_a_batch_the_later_counts(control_plane):
    users = control_plane.control.users
    await users.put_many(T, [UserWrite("ana", preferences='{"*":{"sms":false}}'), UserWrite("ana", locale="de")])
    user = await users.get(T, "ana")
    assert user.locale == "de" and user.preferences == {"*": {"sms": False}}


async def test_equal_users_share_a_profile_and_a_change_moves_them_to_another(control_plane):
    users, directory = control_plane.control.users, control_plane.directory
    same = [UserWrite(name, zone="Europe/Rome", preferences='{"*":{"sms":false}}') for name in ("a", "b")]
    await users.put_many(T, same)
    await users.put_many("other", same)
    before = await lookups.users(directory, T, ["a", "b"])
    assert (
        before["a"].profile_id
        == before["b"].profile_id
        != (await lookups.users(directory, "other", ["a"]))["a"].profile_id
    )
    assert await users.set_preferences(T, "a", "{}")
    after = await lookups.users(directory, T, ["a", "b"])
    assert after["a"].profile_id != after["b"].profile_id == before["b"].profile_id
    profiles = await directory.profiles([user.profile_id for user in after.values()])
    assert [profiles[after[name].profile_id].preferences for name in ("a", "b")] == [{}, {"*": {"sms": False}}]
    assert {profile.zone for profile in profiles.values()} == {"Europe/Rome"}


async def test_a_batch_that_fails_leaves_nothing_behind_not_even_a_remembered_profile(control_plane):
    users = control_plane.control.users
    stray = UserWrite("ana", zone="Asia/Tokyo", topics=("nowhere",))
    with pytest.raises(NotFound, match="nowhere"):
        await users.put_many(T, [stray])
    assert await users.get(T, "ana") is None
    await users.put_many(T, [UserWrite("ana", zone="Asia/Tokyo")])
    assert (await users.get(T, "ana")).zone == "Asia/Tokyo"


async def test_ordinals_are_never_used_again(control_plane):
    users = control_plane.control.users
    await users.put_many(T, [UserWrite("a"), UserWrite("b")])
    gone = (await control_plane.directory.ordinals(T, ["b"]))["b"]
    assert await users.erase(T, "b")
    assert not await users.erase(T, "b")
    await users.put_many(T, [UserWrite("c")])
    assert (await control_plane.directory.ordinals(T, ["c"]))["c"] > gone


async def test_devices_are_added_replaced_removed_and_bounded(control_plane):
    users = control_plane.control.users
    assert not await users.put_device(T, "ana", Device("d", "push", "t"))
    await users.put_many(T, [UserWrite("ana")])
    assert await users.put_device(T, "ana", Device("d", "push", "old"))
    assert await users.put_device(T, "ana", Device("d", "push", "new"))
    assert (await users.get(T, "ana")).devices == (Device("d", "push", "new"),)
    assert await users.remove_device(T, "ana", "d")
    assert not await users.remove_device(T, "ana", "d")
    full = tuple(Device(str(number), "push", "t") for number in range(DEVICES_PER_USER_MAX))
    await users.put_many(T, [UserWrite("ana", devices=full)])
    with pytest.raises(Conflict):
        await users.put_device(T, "ana", Device("one more", "push", "t"))
    assert len((await users.get(T, "ana")).devices) == DEVICES_PER_USER_MAX


async def test_topics_hold_users_and_lose_them_with_their_erasure(control_plane):
    users, topics = control_plane.control.users, control_plane.control.topics
    await users.put_many(T, [UserWrite(name) for name in "abc"])
    await topics.put(T, "news", "News")
    assert await topics.join(T, "news", ["c", "a", "a"]) == 2
    assert await topics.join(T, "news", ["a", "b"]) == 1
    assert await topics.members(T, "news", "", 2) == ["a", "b"]
    assert await topics.members(T, "news", "b", 2) == ["c"]
    assert await topics.leave(T, "news", ["a", "stranger"]) == 1
    await users.erase(T, "b")
    assert await topics.members(T, "news", "", 9) == ["c"]
    with pytest.raises(InvalidField):
        await topics.members(T, "news", "b", 9)
    assert await topics.remove(T, "news")
    with pytest.raises(NotFound):
        await topics.members(T, "news", "", 9)
    await topics.put(T, "news", "")
    assert await topics.members(T, "news", "", 9) == []


async def test_an_unknown_user_is_named_and_nobody_joins(control_plane):
    await control_plane.control.users.put_many(T, [UserWrite("a")])
    await control_plane.control.topics.put(T, "news", "")
    with pytest.raises(InvalidField) as refused:
        await control_plane.control.topics.join(T, "news", ["a", "b"])
    assert refused.value.field == "user_ids[1]"
    assert await control_plane.control.topics.members(T, "news", "", 9) == []


async def test_template_versions_grow_and_need_their_category(control_plane):
    templates, categories = templates_of(control_plane.control), categories_of(control_plane.control)
    template = Template("hello", 0, "greetings", {Channel.SMS: {"body": "Hi {{ name }}"}}, ("name",), True)
    with pytest.raises(InvalidField):
        await templates.put(T, template)
    await categories.put(T, Category("greetings", critical=True, lane=Lane.HIGH))
    assert (await templates.put(T, template)).version == 1
    stored = await templates.put(T, template)
    assert stored == await templates.get(T, "hello")
    assert (stored.version, stored.parts, stored.variables, stored.uses_user) == (2, template.parts, ("name",), True)
    with pytest.raises(Conflict):
        await categories.remove(T, "greetings")
    assert await templates.remove(T, "hello")
    assert await categories.remove(T, "greetings")


@pytest.mark.slow
async def test_categories_are_bounded(control_plane):
    for number in range(CATEGORIES_PER_TENANT_MAX):
        await categories_of(control_plane.control).put(T, Category(f"c{number}"))
    with pytest.raises(Conflict):
        await categories_of(control_plane.control).put(T, Category("one-more"))
    assert len(await categories_of(control_plane.control).keys(T)) == CATEGORIES_PER_TENANT_MAX


async def test_credentials_are_kept_until_others_are_given_and_never_shown(control_plane):
    def account(name: str, api_key: str | None, kept: ProviderRecord | None = None) -> ProviderWrite:
        credentials = None if api_key is None else {"api_key": api_key}
        return ProviderWrite(name, Channel.EMAIL, "post_office", 1, True, {}, credentials, kept=kept)

    secret = "s3cret-of-acme"
    first = await control_plane.control.providers.put(T, account("mail", secret))
    record = await control_plane.control.providers.put(T, account("mail", None, first))
    assert (record.version, record.credential_names) == (2, ("api_key",))
    assert [a.credentials for a in await lookups.accounts(control_plane.directory, T, "email")] == [{"api_key": secret}]
    assert secret not in repr(record) + repr(account("mail", secret)) + repr(
        await lookups.accounts(control_plane.directory, T, "email")
    )
    assert secret not in repr(vars(control_plane.control.providers)) + repr(vars(control_plane.directory))
    control_plane.settle()
    record = await control_plane.control.providers.put(T, account("mail", "another"))
    control_plane.settle()
    assert (await control_plane.directory.account(T, "mail")).credentials == {"api_key": "another"}
    assert await control_plane.control.providers.get(T, "mail") == record
    bare = await control_plane.control.providers.put(T, account("bare", None))
    assert (bare.version, bare.credential_names) == (1, ())
    assert (await control_plane.directory.account(T, "bare")).credentials == {}


async def test_credentials_are_kept_only_of_the_account_as_it_was_read(control_plane):
    """A request that was checked against one account never adds its settings to the credentials of another one."""
    providers = control_plane.control.providers

    def account(host: str, credentials: dict[str, str] | None, kept: ProviderRecord | None = None) -> ProviderWrite:
        return ProviderWrite("mail", Channel.EMAIL, "v", 1, True, {"host": host}, credentials, kept=kept)

    theirs = await providers.put(T, account("evil.test", {"k": "fake"}))
    ours = await providers.put(T, account("mail.test", {"k": "s3cret"}))
    for kept in (theirs, None):
        with pytest.raises(Conflict):
            await providers.put(T, account("evil.test", None, kept))
    await providers.remove(T, "mail")
    with pytest.raises(Conflict):
        await providers.put(T, account("mail.test", None, ours))
    await providers.put(T, account("evil.test", {"k": "fake"}))
    again = await providers.put(T, account("mail.test", {"k": "s3cret"}))
    assert again.version == ours.version
    with pytest.raises(Conflict):
        await providers.put(T, account("evil.test", None, theirs))
    control_plane.settle()
    stored = await control_plane.directory.account(T, "mail")
    assert (stored.settings, stored.credentials) == ({"host": "mail.test"}, {"k": "s3cret"})


async def test_keys_are_made_once_and_revoked_for_good(control_plane):
    keys, directory, clock = control_plane.control.keys, control_plane.directory, control_plane.clock
    record, secret = await keys.create(T, "ci", ["users:read"], expires_ms=clock.now_ms() + 1000)
    caller = await directory.api_key(secret, clock.now_ms())
    assert caller is not None and (caller.tenant, caller.key_id, caller.scopes) == (T, record.key_id, ("users:read",))
    assert await directory.api_key(secret, clock.now_ms() + 1000) is None
    assert await directory.api_key(secret[:-1] + "x", clock.now_ms()) is None
    assert await directory.api_key("clk_" + record.key_id, clock.now_ms()) is None
    assert await directory.api_key("", clock.now_ms()) is None
    assert not await keys.revoke("other", record.key_id)
    assert await keys.revoke(T, record.key_id)
    control_plane.settle()
    assert await directory.api_key(secret, record.created_ms) is None
    assert [key.revoked_ms is not None for key in await keys.page(T, "", 9)] == [True]


async def test_suppressions_end_and_mail_is_compared_without_case(control_plane):
    suppressions, directory, clock = control_plane.control.suppressions, control_plane.directory, control_plane.clock
    assert not (await lookups.has_suppressions(directory, T, "email"))
    await suppressions.add(T, [
        Suppression(Channel.EMAIL, "Ana@Example.com", "bounced", clock.now_ms()),
        Suppression(Channel.EMAIL, "bo@example.com", "manual", clock.now_ms(), clock.now_ms() + 10),
    ])  # fmt: skip
    addresses = ["ANA@example.com", "bo@example.com", "cy@example.com"]
    assert await lookups.has_suppressions(directory, T, "email")
    assert await lookups.suppressed(directory, T, "email", addresses) == {
        "ANA@example.com": "bounced",
        "bo@example.com": "manual",
    }
    assert (
        await lookups.suppressed(directory, T, "sms", addresses)
        == await lookups.suppressed(directory, "other", "email", addresses)
        == {}
    )
    clock.wall_ms += 10
    assert await lookups.suppressed(directory, T, "email", addresses) == {"ANA@example.com": "bounced"}
    assert await suppressions.remove(T, "email", "ANA@EXAMPLE.COM")
    assert not await suppressions.remove(T, "email", "ana@example.com")


async def test_quotas_belong_to_a_tenant_or_to_one_of_its_keys(control_plane):
    quotas = control_plane.control.quotas
    for tenant in (T, "other"):
        await control_plane.control.tenants.put(tenant, "")
    key_id = (await control_plane.control.keys.create(T, "", ["*"]))[0].key_id
    assert await control_plane.directory.quotas(T) == {}
    ours, its = Quota(rate_per_s=5, daily=9), Quota(audience_max=3)
    await quotas.put(T, TENANT, ours)
    await quotas.put(T, key_id, its)
    assert (await quotas.get(T, TENANT), await quotas.get(T, key_id)) == (ours, its)
    assert await quotas.get("other", TENANT) == Quota()
    control_plane.settle()
    assert await control_plane.directory.quotas(T) == {TENANT: ours, key_id: its}
    await quotas.put(T, TENANT, Quota())
    control_plane.settle()
    assert await control_plane.directory.quotas(T) == {key_id: its}
    for owner in (("nobody", TENANT), (T, "nokey"), ("other", key_id)):
        with pytest.raises(NotFound):
            await quotas.get(*owner)
        with pytest.raises(NotFound):
            await quotas.put(*owner, ours)
    control_plane.settle()
    assert await control_plane.directory.quotas("other") == {}


async def test_no_tenant_sees_or_touches_anything_of_another(control_plane):
    control = control_plane.control
    await categories_of(control).put(T, Category("c"))
    await control.users.put_many(T, [UserWrite("ana", devices=(Device("d", "push", "t"),))])
    await control.topics.put(T, "news", "")
    await templates_of(control).put(T, Template("hello", 0, None, {Channel.SMS: {"body": "x"}}))
    await control.providers.put(T, ProviderWrite("mail", Channel.EMAIL, "post_office", 1, True, {}, {}))
    o = "other"
    assert await control.users.get(o, "ana") is None
    assert not await control.users.erase(o, "ana")
    assert not await control.users.set_preferences(o, "ana", "{}")
    assert not await control.users.remove_device(o, "ana", "d")
    with pytest.raises(NotFound):
        await control.topics.join(o, "news", ["ana"])
    areas = (
        (control.topics, "news"),
        (templates_of(control), "hello"),
        (control.providers, "mail"),
        (categories_of(control), "c"),
    )
    for area, key in areas:
        assert await area.get(o, key) is None
        assert await area.page(o, "", 9) == []
        assert not await area.remove(o, key)
        assert await area.get(T, key) is not None
    d = control_plane.directory
    both, email = (T, o), Channel.EMAIL
    users = await d.users({tenant: ["ana", "bo"] for tenant in both})
    assert (users[T].keys(), users[o]) == ({"ana"}, {})
    accounts = await d.accounts([(tenant, email) for tenant in both])
    assert ([one.name for one in accounts[T, email]], accounts[o, email]) == (["mail"], [])
    assert (await d.page(o, None, 0, 9)).rows == (await d.page(o, "news", 0, 9)).rows == []
    assert (await d.templates([(tenant, "hello") for tenant in both])).keys() == {(T, "hello")}
    assert (await d.categories([(tenant, "c") for tenant in both])).keys() == {(T, "c")}
    assert await d.topics([(tenant, "news") for tenant in both]) == {(T, "news")}
    assert await d.defaults(both) == {T: {}, o: {}}


async def test_a_tenant_suppresses_on_the_channels_on_which_it_has_anything_suppressed(control_plane):
    control, directory = control_plane.control, control_plane.directory
    await control.suppressions.add(
        T, [Suppression(Channel.SMS, "1", "manual", 0), Suppression(CHANNELS[-1], "1", "manual", 0)]
    )
    await control.suppressions.add("other", [Suppression(Channel.EMAIL, "a@example.com", "manual", 0)])
    assert await directory.suppressing([T, "other", "none"]) == {
        T: {"sms", CHANNELS[-1]},
        "other": {"email"},
        "none": set(),
    }
    asked = {(T, "sms"): ["1", "2"], ("other", "sms"): ["1"], ("other", "email"): ["A@example.com"]}
    assert await directory.suppressed(asked) == {
        (T, "sms"): {"1": "manual"}, ("other", "sms"): {}, ("other", "email"): {"A@example.com": "manual"}
    }  # fmt: skip
    assert await directory.suppressed({}) == await directory.suppressing([]) == await directory.users({}) == {}


async def test_what_is_suppressed_for_good_keeps_its_reason_and_is_lifted_for_it_alone(control_plane):
    suppressions, directory, clock = control_plane.control.suppressions, control_plane.directory, control_plane.clock
    now = clock.now_ms()

    async def load(reason, expires_ms=None):
        await suppressions.add_missing(T, [Suppression(Channel.EMAIL, "Ana@example.com", reason, now, expires_ms)])
        return (await lookups.suppressed(directory, T, "email", ["ana@example.com"])).get("ana@example.com")

    assert await load("soft", now + 5_000) == "soft"
    assert await load("softer", now + 1_000) == "soft"
    assert await load("longer", now + 9_000) == "longer"
    assert await load("stop") == "stop"
    assert await load("hard_bounce") == "stop"
    assert await load("soft", now + 99_000) == "stop"
    assert not await suppressions.lift(T, "email", "ana@example.com", "complaint", now)
    assert not await suppressions.lift("other", "email", "ana@example.com", "stop", now)
    assert not await suppressions.lift(T, "email", "ana@example.com", "stop", now - 1)
    assert await suppressions.lift(T, "email", "ANA@example.com", "stop", now)
    assert await lookups.suppressed(directory, T, "email", ["ana@example.com"]) == {}
