"""Propagation of changed definitions: a revision per tenant, at once in this process and soon in every other one."""

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.errors import NotFound
from clarion.domain.limits_processes import REVISION_CHECK_MS
from clarion.domain.quota import TENANT, Quota
from clarion.domain.user import UserWrite
from clarion.domain.workflow import Workflow
from clarion.ports.control_accounts import ProviderWrite, Suppression
from clarion.ports.directory import OPERATOR_LEVEL
from tests import lookups
from tests.contract.backends import SHARED
from tests.contract.controls import ControlPlane
from tests.registries import categories_of, definitions_of, templates_of

PORT = "directory"
T = "acme"


def workflow(template: str) -> bytes:
    return msgspec.json.encode({"steps": [{"kind": "send", "name": "tell", "template": template}]})


def revisions(control_plane, *tenants):
    return [control_plane.directory.revision(tenant) for tenant in tenants]


async def test_a_change_counts_at_once_in_the_process_that_made_it(control_plane):
    control, directory = control_plane.control, control_plane.directory
    await categories_of(control).put(T, Category("c"))
    assert await lookups.category(directory, T, "c") == Category("c")
    before = directory.revision(T)
    await categories_of(control).put(T, Category("c", critical=True))
    assert await lookups.category(directory, T, "c") == Category("c", critical=True)
    assert directory.revision(T) > before
    await categories_of(control).remove(T, "c")
    assert await lookups.category(directory, T, "c") is None


async def test_each_tenant_has_a_revision_of_its_own_and_so_has_the_operator(control_plane):
    control = control_plane.control
    assert revisions(control_plane, T, "other", OPERATOR_LEVEL) == [0, 0, 0]
    changes = [
        lambda tenant: categories_of(control).put(tenant, Category("c")),
        lambda tenant: control.topics.put(tenant, "news", ""),
        lambda tenant: control.topics.remove(tenant, "news"),
        lambda tenant: definitions_of(control).put(tenant, Workflow.KIND, "w", workflow("hello")),
        lambda tenant: definitions_of(control).remove(tenant, Workflow.KIND, "w"),
        lambda tenant: templates_of(control).put(tenant, Template("t", 0, None, {Channel.SMS: {"body": "x"}})),
        lambda tenant: templates_of(control).rebuild(
            tenant, {("t", 1): Template("t", 0, None, {Channel.SMS: {"body": "y"}})}
        ),
        lambda tenant: templates_of(control).remove(tenant, "t"),
        lambda tenant: control.providers.put(tenant, ProviderWrite("m", Channel.EMAIL, "v", 1, True, {}, {})),
        lambda tenant: control.providers.remove(tenant, "m"),
        lambda tenant: categories_of(control).remove(tenant, "c"),
    ]
    for change in changes:
        before = revisions(control_plane, T, "other", OPERATOR_LEVEL)
        await change(T)
        own, theirs, operators = revisions(control_plane, T, "other", OPERATOR_LEVEL)
        assert own > before[0]
        assert [theirs, operators] == before[1:]
    await control.tenants.put(T, "Acme")
    before = revisions(control_plane, T, OPERATOR_LEVEL)
    for change in (lambda: control.tenants.put(T, "Acme & Co"), lambda: control.keys.create(T, "ci", ["*"])):
        await change()
        own, operators = revisions(control_plane, T, OPERATOR_LEVEL)
        assert own == before[0] and operators > before[1]
        before = [own, operators]
    for change in (
        lambda: control.tenants.set_defaults(T, {"*": {"sms": False}}),
        lambda: control.quotas.put(T, TENANT, Quota(daily=1)),
        lambda: control.quotas.put(T, TENANT, Quota()),
    ):
        await change()
        own, operators = revisions(control_plane, T, OPERATOR_LEVEL)
        assert own > before[0] and operators == before[1]
        before = [own, operators]


async def test_what_changes_nothing_leaves_the_revision(control_plane):
    control = control_plane.control
    await control.tenants.put(T, "Acme")
    await definitions_of(control).put(T, Workflow.KIND, "w", workflow("hello"))
    record, _ = await control.keys.create(T, "ci", ["*"])
    await control.keys.revoke(T, record.key_id)
    await templates_of(control).put(T, Template("t", 0, None, {Channel.SMS: {"body": "x"}}))
    await templates_of(control).put(T, Template("t", 0, None, {Channel.SMS: {"body": "y"}}))
    before = revisions(control_plane, T, "nobody", OPERATOR_LEVEL)
    await definitions_of(control).put(T, Workflow.KIND, "w", workflow("hello"))
    await control.keys.revoke(T, record.key_id)
    await control.quotas.put(T, TENANT, Quota())
    await templates_of(control).rebuild(
        T, {("t", 1): Template("t", 0, None, {}), ("none", 1): Template("t", 0, None, {})}
    )
    for area in (categories_of(control), control.topics, templates_of(control), control.providers):
        assert not await area.remove(T, "none")
    assert not await definitions_of(control).remove(T, Workflow.KIND, "none")
    with pytest.raises(NotFound):
        await control.tenants.set_defaults("nobody", {})
    await control.users.put_many(T, [UserWrite("ana")])
    await control.suppressions.add(T, [Suppression(Channel.SMS, "1", "manual", 0)])
    assert revisions(control_plane, T, "nobody", OPERATOR_LEVEL) == before


@pytest.mark.needs_trait(SHARED)
async def test_what_was_not_learned_in_time_is_not_said_to_be_current(control_plane):
    await control_plane.directory.refresh()
    control_plane.clock.wall_ms += REVISION_CHECK_MS - 1
    assert control_plane.directory.is_current()
    control_plane.clock.wall_ms += 1
    assert not control_plane.directory.is_current()
    await lookups.category(control_plane.directory, T, "c")
    assert control_plane.directory.is_current(), "a reader checks the revision, too"


@pytest.mark.needs_trait(SHARED)
async def test_what_another_process_changed_is_learned_and_costs_only_that_tenant_its_cache(control_plane):
    other = ControlPlane(control_plane.data_dir, control_plane.clock, control_plane.backend)
    try:
        for tenant in (T, "other"):
            await categories_of(control_plane.control).put(tenant, Category("c"))
        await other.directory.refresh()
        assert revisions(other, T, "other") == revisions(control_plane, T, "other")
        seen = {tenant: await lookups.category(other.directory, tenant, "c") for tenant in (T, "other")}
        await categories_of(control_plane.control).put(T, Category("c", critical=True))
        assert await lookups.category(other.directory, T, "c") is seen[T], (
            "no reader checks again within so short a time"
        )
        await other.directory.refresh()
        assert revisions(other, T, "other") == revisions(control_plane, T, "other")
        assert await lookups.category(other.directory, T, "c") == Category("c", critical=True)
        assert await lookups.category(other.directory, "other", "c") is seen["other"]
        await categories_of(control_plane.control).put(T, Category("c"))
        control_plane.settle()
        assert await lookups.category(other.directory, T, "c") == Category("c"), (
            "without the background check, readers check the revision themselves"
        )
    finally:
        await other.close()
