"""Requests that name a workflow: the version, category and data they are accepted with."""

from datetime import UTC, datetime

import msgspec
import pytest

from clarion.accept.admit import parse_body
from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField
from clarion.domain.workflow import Send, Workflow
from tests.contract.controls import ControlPlane, migrated
from tests.registries import categories_of, definitions_of, templates_of
from tests.unit.accept.admitting import admission

T = "acme"
NOW_MS = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000)
ORDERED = Workflow(steps=(Send(name="tell", template="hello"),), category="orders", variables=("order",))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def installation(empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path)
    await categories_of(installation.control).put(T, Category("orders", lane=Lane.HIGH))
    await categories_of(installation.control).put(T, Category("quiet", lane=Lane.BULK))
    await templates_of(installation.control).put(T, Template("hello", 0, None, {Channel.SMS: {"body": "x"}}))
    for name in ("first", "second"):
        body = msgspec.structs.replace(ORDERED, name=name)
        await definitions_of(installation.control, installation.clock).put(
            T, Workflow.KIND, "ordered", msgspec.json.encode(body)
        )
    yield installation
    await installation.close()


async def admitted(installation, tenant=T, **more):
    body = {"to": "u1", "workflow": "ordered", "data": {"order": 7}, **more}
    asked = msgspec.convert(body, NotificationIn)
    return (await admission(installation.directory, tenant, asked, NOW_MS)).notification(parse_body(asked))


async def test_a_request_keeps_the_newest_version_and_the_workflows_category(installation):
    request = await admitted(installation)
    assert (request.workflow, request.workflow_version, request.template) == ("ordered", 2, "")
    assert (request.category, request.lane, request.channels) == ("orders", Lane.HIGH, None)
    assert (await admitted(installation, category="quiet")).lane == Lane.BULK


async def test_a_broadcast_may_be_of_a_workflow_too(installation):
    body = msgspec.convert({"audience": {"all": True}, "workflow": "ordered", "data": {"order": 7}}, BroadcastIn)
    request = (await admission(installation.directory, T, body, NOW_MS)).broadcast(body).request
    assert (request.workflow, request.workflow_version, request.to) == ("ordered", 2, [])


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"workflow": "gone"}, "workflow", "unknown_workflow"),
        ({"tenant": "other"}, "workflow", "unknown_workflow"),
        ({"template": "hello"}, "template", "invalid_field"),
        ({"workflow": None}, "template", "invalid_field"),
        ({"data": {}}, "data.order", "invalid_field"),
        ({"data": {"order": 1 << 64}}, "data.order", "invalid_field"),
        ({"channels": ["sms"]}, "channels", "invalid_field"),
        ({"category": "gone"}, "category", "unknown_category"),
    ],
)
async def test_a_fault_is_refused_with_its_field(installation, change, field, code):
    with pytest.raises(InvalidField) as refused:
        await admitted(installation, **change)
    assert (refused.value.field, refused.value.code) == (field, code)


async def test_a_removed_workflow_starts_nothing_more(installation):
    await definitions_of(installation.control, installation.clock).remove(T, Workflow.KIND, "ordered")
    with pytest.raises(InvalidField) as refused:
        await admitted(installation)
    assert refused.value.code == "unknown_workflow"
