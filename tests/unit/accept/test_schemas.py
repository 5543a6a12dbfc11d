"""Data is validated against the schema of its template, whichever endpoint receives it."""

import msgspec
import pytest

from clarion.accept.admit import parse_body
from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.workflow import Delay, Send, Workflow
from tests.contract.controls import ControlPlane, migrated
from tests.registries import definitions_of, templates_of
from tests.unit.accept.admitting import admission
from tests.unit.accept.harness import BATCH, BLAST, ONE, IntakeHarness

T = "acme"
ORDER = {
    "type": "object",
    "properties": {
        "order": {"type": "object", "properties": {"number": {"type": "number"}}, "required": ["number"]},
        "lines": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
    "required": ["order"],
}
WRONG = [
    ({}, "data.order"),
    ({"order": 7}, "data.order"),
    ({"order": {}}, "data.order.number"),
    ({"order": {"number": "7"}}, "data.order.number"),
    ({"order": {"number": 7}, "lines": [{"name": 1}, {}]}, "data.lines[1].name"),
]
RIGHT = {"order": {"number": 7}, "lines": [{"name": "x"}], "more": True}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def installation(empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path)
    parts = {Channel.SMS: {"body": "x"}}
    await installation.control.tenants.put(T, "Acme")
    await templates_of(installation.control).put(T, Template("order", 0, None, parts, ("order",), schema=ORDER))
    await templates_of(installation.control).put(T, Template("open", 0, None, parts))
    yield installation
    await installation.close()


async def admitted(installation, data, **content):
    body = {"to": {"phone": "+15005550001"}, "data": data, **(content or {"template": "order"})}
    asked = msgspec.convert(body, NotificationIn)
    return (await admission(installation.directory, T, asked, installation.clock.now_ms())).notification(
        parse_body(asked)
    )


async def field_of(installation, data, **content):
    with pytest.raises(InvalidField) as error:
        await admitted(installation, data, **content)
    return error.value.field


@pytest.mark.parametrize(("data", "field"), WRONG)
async def test_a_missing_or_ill_typed_variable_is_named(installation, data, field):
    assert await field_of(installation, data) == field
    body = msgspec.convert({"audience": {"all": True}, "template": "order", "data": data}, BroadcastIn)
    with pytest.raises(InvalidField) as error:
        (await admission(installation.directory, T, body, installation.clock.now_ms())).broadcast(body)
    assert error.value.field == field


async def test_data_that_satisfies_the_schema_is_accepted(installation):
    assert (await admitted(installation, RIGHT)).data == RIGHT
    assert (await admitted(installation, {"order": 7}, template="open")).data == {"order": 7}


async def test_a_fixed_version_is_validated_against_its_own_schema(installation):
    await templates_of(installation.control).put(T, Template("order", 0, None, {Channel.SMS: {"body": "x"}}))
    await installation.directory.refresh()
    assert (await admitted(installation, {})).template == "order"
    assert await field_of(installation, {}, template="order@1") == "data.order"
    assert (await admitted(installation, RIGHT, template="order@1")).template == "order@1"


async def workflow(installation, *steps):
    await definitions_of(installation.control, installation.clock).put(
        T, Workflow.KIND, "flow", msgspec.json.encode(Workflow(steps=steps))
    )
    await installation.directory.refresh()


async def test_a_workflow_that_passes_the_data_on_is_validated_against_its_template(installation):
    await workflow(installation, Send(name="tell", template="order"), Delay(name="wait", for_="1h"))
    assert await field_of(installation, {"order": {}}, workflow="flow") == "data.order.number"
    assert (await admitted(installation, RIGHT, workflow="flow")).workflow == "flow"


async def test_a_workflow_with_its_own_data_is_not_validated(installation):
    for steps in (
        (Send(name="tell", template="order", data={"order": "{'number': 1}"}),),
        (Delay(name="wait", for_="1h"), Send(name="tell", template="order")),
        (Send(name="tell", template="open"), Send(name="more", template="order")),
        (Send(name="tell", template="gone"),),
    ):
        await workflow(installation, *steps)
        assert (await admitted(installation, {}, workflow="flow")).workflow == "flow"


async def test_an_invalid_request_is_refused_and_in_a_batch_only_the_item(installation):
    harness = IntakeHarness(installation.directory)
    to = {"phone": "+15005550001"}
    wrong, right = ({"to": to, "template": "order", "data": data} for data in (WRONG[2][0], RIGHT))
    for path, body in ((ONE, wrong), (BLAST, {"audience": {"all": True}, "template": "order", "data": {"order": {}}})):
        for key in (None, "once"):
            with pytest.raises(InvalidField) as error:
                await harness.post(path, body, key=key)
            assert error.value.field == "data.order.number"
    assert list(harness.stored()) == []
    assert (await harness.post(ONE, right, key="once")).status == 202
    results = (await harness.post_json(BATCH, {"notifications": [right, wrong]}))["results"]
    assert [result["status"] for result in results] == ["accepted", "refused"]
    assert results[1]["error"]["field"] == "data.order.number"
    assert len(list(harness.stored())) == 2
