"""How changes of definitions become known: a revision for each tenant, at once here and soon in every other process."""

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.errors import NotFound
from clarion.domain.limits import REVISION_CHECK_MS
from clarion.domain.quota import TENANT, Quota
from clarion.domain.user import UserWrite
from clarion.domain.workflow import Workflow
from clarion.ports.control_accounts import ProviderWrite, Suppression
from clarion.ports.directory import OPERATOR_LEVEL
from tests import lookups
from tests.contract.controls import House
from tests.contract.engines import SHARED

PORT = "directory"
T = "acme"


def workflow(template: str) -> bytes:
    return msgspec.json.encode({"steps": [{"kind": "send", "name": "tell", "template": template}]})


def revisions(house, *tenants):
    return [house.directory.revision(tenant) for tenant in tenants]


async def test_a_change_counts_at_once_in_the_process_that_made_it(house):
    control, directory = house.control, house.directory
    await control.categories.put(T, Category("c"))
    assert await lookups.category(directory, T, "c") == Category("c")
    before = directory.revision(T)
    await control.categories.put(T, Category("c", critical=True))
    assert await lookups.category(directory, T, "c") == Category("c", critical=True)
    assert directory.revision(T) > before
    await control.categories.remove(T, "c")
    assert await lookups.category(directory, T, "c") is None


async def test_each_tenant_has_a_revision_of_its_own_and_so_has_the_operator(house):
    control = house.control
    assert revisions(house, T, "other", OPERATOR_LEVEL) == [0, 0, 0]
    changes = [
        lambda tenant: control.categories.put(tenant, Category("c")),
        lambda tenant: control.topics.put(tenant, "news", ""),
        lambda tenant: control.topics.remove(tenant, "news"),
        lambda tenant: control.definitions.put(tenant, Workflow.KIND, "w", workflow("hello")),
        lambda tenant: control.definitions.remove(tenant, Workflow.KIND, "w"),
        lambda tenant: control.templates.put(tenant, Template("t", 0, None, {Channel.SMS: {"body": "x"}})),
        lambda tenant: control.templates.rebuild(
            tenant, {("t", 1): Template("t", 0, None, {Channel.SMS: {"body": "y"}})}
        ),
        lambda tenant: control.templates.remove(tenant, "t"),
        lambda tenant: control.providers.put(tenant, ProviderWrite("m", Channel.EMAIL, "v", 1, True, {}, {})),
        lambda tenant: control.providers.remove(tenant, "m"),
        lambda tenant: control.categories.remove(tenant, "c"),
    ]
    for change in changes:
        before = revisions(house, T, "other", OPERATOR_LEVEL)
        await change(T)
        mine, theirs, operators = revisions(house, T, "other", OPERATOR_LEVEL)
        assert mine > before[0]
        assert [theirs, operators] == before[1:]
    await control.tenants.put(T, "Acme")
    before = revisions(house, T, OPERATOR_LEVEL)
    for change in (lambda: control.tenants.put(T, "Acme & Co"), lambda: control.keys.create(T, "ci", ["*"])):
        await change()
        mine, operators = revisions(house, T, OPERATOR_LEVEL)
        assert mine == before[0] and operators > before[1]
        before = [mine, operators]
    for change in (
        lambda: control.tenants.set_defaults(T, {"*": {"sms": False}}),
        lambda: control.quotas.put(T, TENANT, Quota(daily=1)),
        lambda: control.quotas.put(T, TENANT, Quota()),
    ):
        await change()
        mine, operators = revisions(house, T, OPERATOR_LEVEL)
        assert mine > before[0] and operators == before[1]
        before = [mine, operators]


async def test_what_changes_nothing_leaves_the_revision(house):
    control = house.control
    await control.tenants.put(T, "Acme")
    await control.definitions.put(T, Workflow.KIND, "w", workflow("hello"))
    record, _ = await control.keys.create(T, "ci", ["*"])
    await control.keys.revoke(T, record.key_id)
    await control.templates.put(T, Template("t", 0, None, {Channel.SMS: {"body": "x"}}))
    await control.templates.put(T, Template("t", 0, None, {Channel.SMS: {"body": "y"}}))
    before = revisions(house, T, "nobody", OPERATOR_LEVEL)
    await control.definitions.put(T, Workflow.KIND, "w", workflow("hello"))
    await control.keys.revoke(T, record.key_id)
    await control.quotas.put(T, TENANT, Quota())
    await control.templates.rebuild(T, {("t", 1): Template("t", 0, None, {}), ("none", 1): Template("t", 0, None, {})})
    for area in (control.categories, control.topics, control.templates, control.providers):
        assert not await area.remove(T, "none")
    assert not await control.definitions.remove(T, Workflow.KIND, "none")
    with pytest.raises(NotFound):
        await control.tenants.set_defaults("nobody", {})
    await control.users.put_many(T, [UserWrite("ana")])
    await control.suppressions.add(T, [Suppression(Channel.SMS, "1", "manual", 0)])
    assert revisions(house, T, "nobody", OPERATOR_LEVEL) == before


@pytest.mark.needs_trait(SHARED)
async def test_what_was_not_learned_in_time_is_not_said_to_be_current(house):
    await house.directory.learn()
    house.clock.wall_ms += REVISION_CHECK_MS - 1
    assert house.directory.is_current()
    house.clock.wall_ms += 1
    assert not house.directory.is_current()
    await lookups.category(house.directory, T, "c")
    assert house.directory.is_current(), "whoever reads looks, too"


@pytest.mark.needs_trait(SHARED)
async def test_what_another_process_changed_is_learned_and_costs_only_that_tenant_its_cache(house):
    other = House(house.data_dir, house.clock, house.engine)
    try:
        for tenant in (T, "other"):
            await house.control.categories.put(tenant, Category("c"))
        await other.directory.learn()
        assert revisions(other, T, "other") == revisions(house, T, "other")
        seen = {tenant: await lookups.category(other.directory, tenant, "c") for tenant in (T, "other")}
        await house.control.categories.put(T, Category("c", critical=True))
        assert await lookups.category(other.directory, T, "c") is seen[T], "nobody looks for it within so short a time"
        await other.directory.learn()
        assert revisions(other, T, "other") == revisions(house, T, "other")
        assert await lookups.category(other.directory, T, "c") == Category("c", critical=True)
        assert await lookups.category(other.directory, "other", "c") is seen["other"]
        await house.control.categories.put(T, Category("c"))
        house.settle()
        assert await lookups.category(other.directory, T, "c") == Category("c"), (
            "without a learner, readers look for themselves"
        )
    finally:
        await other.close()
