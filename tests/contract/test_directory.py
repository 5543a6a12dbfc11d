"""Guarantees for planning and delivery when they read the control store."""

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.segment import Segment
from clarion.domain.user import Device, UserWrite
from clarion.domain.workflow import Workflow
from clarion.ports.control_accounts import ProviderWrite
from tests import lookups
from tests.registries import categories_of, definitions_of, templates_of

PORT = "directory"
T = "acme"


async def test_users_come_whole_and_only_the_known_ones(control_plane):
    write = UserWrite(
        "ana|1", "a@example.com", "+12025550143", "+12025550144", "C1", "https://example.com/h", "de-AT", "Europe/Vienna",
        '{"plan":"pro"}', '{"*":{"sms":false}}', (Device("d", "push", "t"),),
    )  # fmt: skip
    await control_plane.control.users.put_many(T, [write, UserWrite('quote"\\\u00fc')])
    found = await lookups.users(control_plane.directory, T, ["nobody", 'quote"\\\u00fc', "ana|1"])
    assert found.keys() == {"ana|1", 'quote"\\\u00fc'}
    ana = found["ana|1"]
    for name in ("user_id", "email", "phone", "whatsapp", "chat", "webhook", "locale", "zone", "devices"):
        assert getattr(ana, name) == getattr(write, name), name
    assert ana.attributes == {"plan": "pro"}
    assert await lookups.users(control_plane.directory, T, []) == {}


@pytest.mark.parametrize("topic", [None, "news"])
async def test_pages_walk_every_user_once_in_order(control_plane, topic):
    await control_plane.control.topics.put(T, "news", "")
    for name in ("a", "b"):  # two tenants, interleaved
        for tenant in (T, "other"):
            topics = ("news",) if tenant == T else ()
            users = [UserWrite(f"{name}{n}", locale="en", topics=topics) for n in range(5)]
            await control_plane.control.users.put_many(tenant, users)
    seen, after, done = [], 0, False
    while not done:
        rows, after, done, _ = await control_plane.directory.page(T, topic, after, 3)
        assert len(rows) <= 3
        seen += rows
    assert [row[1] for row in seen] == [f"{name}{n}" for name in "ab" for n in range(5)]
    assert [row[0] for row in seen] == sorted(row[0] for row in seen)
    assert {row[2:] for row in seen} == {(seen[0][2], "en")}


async def test_page_columns_come_in_the_order_asked_for(control_plane):
    device = Device("d", "push", "t")
    await control_plane.control.users.put_many(
        T, [UserWrite("a", email="a@example.com", devices=(device,), attributes='{"n":1}')]
    )
    ((row,), *_) = await control_plane.directory.page(T, None, 0, 9, ["attributes", "devices", "email"])
    assert (row[4], row[6]) == ('{"n":1}', "a@example.com")
    assert msgspec.msgpack.decode(row[5], type=list[Device]) == [device]
    with pytest.raises(ValueError, match="ordinal"):
        await control_plane.directory.page(T, None, 0, 9, ["ordinal"])


async def test_a_changed_definition_is_seen_after_the_revision_check(control_plane):
    control, directory = control_plane.control, control_plane.directory
    await categories_of(control).put(T, Category("c"))
    await control.tenants.put(T, "Acme")
    control_plane.settle()
    revision = directory.revision(T)
    assert await lookups.category(directory, T, "c") == Category("c")
    assert await lookups.defaults(directory, T) == {}
    await categories_of(control).put(T, Category("c", critical=True))
    await control.tenants.set_defaults(T, {"*": {"sms": False}})
    control_plane.settle()
    assert directory.revision(T) != revision
    assert await lookups.category(directory, T, "c") == Category("c", critical=True)
    assert await lookups.defaults(directory, T) == {"*": {"sms": False}}


async def test_users_change_without_dropping_definitions(control_plane):
    await control_plane.control.users.put_many(T, [UserWrite("a")])
    control_plane.settle()
    revision = control_plane.directory.revision(T)
    await control_plane.control.users.put_many(T, [UserWrite("a", locale="de")])
    control_plane.settle()
    assert (await lookups.users(control_plane.directory, T, ["a"]))["a"].locale == "de"
    assert control_plane.directory.revision(T) == revision


async def test_something_new_is_found_at_once_because_absence_is_not_cached(control_plane):
    assert await lookups.template(control_plane.directory, T, "hello") is None
    assert not (await lookups.topic_exists(control_plane.directory, T, "news"))
    await templates_of(control_plane.control).put(T, Template("hello", 0, None, {Channel.SMS: {"body": "x"}}))
    await control_plane.control.topics.put(T, "news", "")
    assert (await lookups.template(control_plane.directory, T, "hello")).version == 1
    assert await lookups.topic_exists(control_plane.directory, T, "news")


async def test_accounts_come_preferred_first_without_the_disabled(control_plane):
    for name, priority, enabled in (("b", 1, True), ("a", 2, True), ("off", 0, False)):
        write = ProviderWrite(name, Channel.EMAIL, "post_office", priority, enabled, {"n": 1}, {"api_key": name})
        await control_plane.control.providers.put(T, write)
    accounts = await lookups.accounts(control_plane.directory, T, "email")
    assert [(account.name, account.credentials["api_key"]) for account in accounts] == [("b", "b"), ("a", "a")]
    assert accounts[0].settings == {"n": 1}
    assert await lookups.accounts(control_plane.directory, T, "sms") == []


def workflow(template: str) -> bytes:
    return msgspec.json.encode({"steps": [{"kind": "send", "name": "tell", "template": template}]})


async def test_definitions_come_decoded_and_change_after_the_revision_check(control_plane):
    definitions, directory = definitions_of(control_plane.control, control_plane.clock), control_plane.directory
    assert await lookups.definition(directory, T, Workflow, "welcome") is None
    await definitions.put(T, Workflow.KIND, "welcome", workflow("hello"))
    await definitions.put(T, Workflow.KIND, "bye", workflow("bye"))
    found = await lookups.definition(directory, T, Workflow, "welcome")
    assert (found.key, found.version, found.body.steps[0].template) == ("welcome", 1, "hello")
    assert [one.key for one in await directory.definitions_of(T, Workflow)] == ["bye", "welcome"]
    assert await directory.definitions_of("other", Workflow) == await directory.definitions_of(T, Segment) == []
    await definitions.put(T, Workflow.KIND, "welcome", workflow("hello-again"))
    control_plane.settle()
    found = await lookups.definition(directory, T, Workflow, "welcome")
    assert (found.version, found.body.steps[0].template) == (2, "hello-again")
    assert [one.version for one in await directory.definitions_of(T, Workflow)] == [1, 2]
    await definitions.remove(T, Workflow.KIND, "welcome")
    control_plane.settle()
    assert await lookups.definition(directory, T, Workflow, "welcome") is None
    assert [one.key for one in await directory.definitions_of(T, Workflow)] == ["bye"]


async def test_a_version_asked_for_by_number_stays_even_when_the_definition_is_removed(control_plane):
    await definitions_of(control_plane.control, control_plane.clock).put(T, Workflow.KIND, "welcome", workflow("hello"))
    await definitions_of(control_plane.control, control_plane.clock).remove(T, Workflow.KIND, "welcome")
    first = await lookups.definition(control_plane.directory, T, Workflow, "welcome", 1)
    assert (first.version, first.body.steps[0].template) == (1, "hello")
    control_plane.settle()
    assert await lookups.definition(control_plane.directory, T, Workflow, "welcome", 1) is first, (
        "it cannot have changed"
    )
    assert await lookups.definition(control_plane.directory, T, Workflow, "welcome", 2) is None
    assert await lookups.definition(control_plane.directory, "other", Workflow, "welcome", 1) is None


async def test_a_definition_this_build_cannot_read_does_not_stop_the_others(control_plane, caplog):
    await definitions_of(control_plane.control, control_plane.clock).put(
        T, Workflow.KIND, "odd", b'{"steps":[{"kind":"teleport","name":"x"}]}'
    )
    await definitions_of(control_plane.control, control_plane.clock).put(T, Workflow.KIND, "welcome", workflow("hello"))
    assert [one.key for one in await control_plane.directory.definitions_of(T, Workflow)] == ["welcome"]
    assert await lookups.definition(control_plane.directory, T, Workflow, "odd") is None
    assert "workflow odd of tenant acme is omitted" in caplog.text


async def test_settings_of_an_account_keep_the_order_they_were_given_in(control_plane):
    settings = {"by_address": {"z": 1, "b": 2, "a*": 3}, "a": 0}
    await control_plane.control.providers.put(T, ProviderWrite("m", Channel.SMS, "v", 1, True, settings, {}))
    stored = await control_plane.control.providers.get(T, "m")
    read = await control_plane.directory.account(T, "m")
    for found in (stored, read):
        assert list(found.settings) == ["by_address", "a"]
        assert list(found.settings["by_address"]) == ["z", "b", "a*"], "patterns are tried in this order"


async def test_an_account_is_found_by_its_name_enabled_or_not(control_plane):
    for name, enabled in (("on", True), ("off", False)):
        write = ProviderWrite(name, Channel.EMAIL, "sandbox", 1, enabled, {}, {"api_key": name})
        await control_plane.control.providers.put(T, write)
    for name in ("on", "off"):
        assert (await control_plane.directory.account(T, name)).credentials == {"api_key": name}
    assert await control_plane.directory.account(T, "none") is None
    assert await control_plane.directory.account("other", "on") is None
