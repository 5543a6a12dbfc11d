"""Data is held against the schema of the template it is for, whichever way it comes in."""

import msgspec
import pytest

from clarion.accept.admit import addressed
from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.workflow import Delay, Send, Workflow
from tests.contract.controls import House, migrated
from tests.unit.accept.admitting import admission
from tests.unit.accept.entrance import BATCH, BLAST, ONE, Entrance

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
async def house(empty, tmp_path):
    house = House.copy_of(empty, tmp_path)
    parts = {Channel.SMS: {"body": "x"}}
    await house.control.tenants.put(T, "Acme")
    await house.control.templates.put(T, Template("order", 0, None, parts, ("order",), schema=ORDER))
    await house.control.templates.put(T, Template("open", 0, None, parts))
    yield house
    await house.close()


async def admitted(house, data, **content):
    body = {"to": {"phone": "+15005550001"}, "data": data, **(content or {"template": "order"})}
    asked = msgspec.convert(body, NotificationIn)
    return (await admission(house.directory, T, asked, house.clock.now_ms())).notification(addressed(asked))


async def field_of(house, data, **content):
    with pytest.raises(InvalidField) as error:
        await admitted(house, data, **content)
    return error.value.field


@pytest.mark.parametrize(("data", "field"), WRONG)
async def test_what_is_missing_or_ill_typed_is_named(house, data, field):
    assert await field_of(house, data) == field
    body = msgspec.convert({"audience": {"all": True}, "template": "order", "data": data}, BroadcastIn)
    with pytest.raises(InvalidField) as error:
        (await admission(house.directory, T, body, house.clock.now_ms())).broadcast(body)
    assert error.value.field == field


async def test_what_satisfies_the_schema_is_taken(house):
    assert (await admitted(house, RIGHT)).data == RIGHT
    assert (await admitted(house, {"order": 7}, template="open")).data == {"order": 7}


async def test_a_fixed_version_is_held_to_its_own_schema(house):
    await house.control.templates.put(T, Template("order", 0, None, {Channel.SMS: {"body": "x"}}))
    await house.directory.learn()
    assert (await admitted(house, {})).template == "order"
    assert await field_of(house, {}, template="order@1") == "data.order"
    assert (await admitted(house, RIGHT, template="order@1")).template == "order@1"


async def workflow(house, *steps):
    await house.control.definitions.put(T, Workflow.KIND, "flow", msgspec.json.encode(Workflow(steps=steps)))
    await house.directory.learn()


async def test_a_workflow_that_sends_the_data_straight_on_is_held_to_its_template(house):
    await workflow(house, Send(name="tell", template="order"), Delay(name="wait", for_="1h"))
    assert await field_of(house, {"order": {}}, workflow="flow") == "data.order.number"
    assert (await admitted(house, RIGHT, workflow="flow")).workflow == "flow"


async def test_a_workflow_that_makes_data_of_its_own_is_not(house):
    for steps in (
        (Send(name="tell", template="order", data={"order": "{'number': 1}"}),),
        (Delay(name="wait", for_="1h"), Send(name="tell", template="order")),
        (Send(name="tell", template="open"), Send(name="more", template="order")),
        (Send(name="tell", template="gone"),),
    ):
        await workflow(house, *steps)
        assert (await admitted(house, {}, workflow="flow")).workflow == "flow"


async def test_a_request_is_refused_and_of_a_batch_the_item(house):
    entrance = Entrance(house.directory)
    to = {"phone": "+15005550001"}
    wrong, right = ({"to": to, "template": "order", "data": data} for data in (WRONG[2][0], RIGHT))
    for path, body in ((ONE, wrong), (BLAST, {"audience": {"all": True}, "template": "order", "data": {"order": {}}})):
        for key in (None, "once"):
            with pytest.raises(InvalidField) as error:
                await entrance.post(path, body, key=key)
            assert error.value.field == "data.order.number"
    assert list(entrance.stored()) == []
    assert (await entrance.post(ONE, right, key="once")).status == 202
    results = (await entrance.say(BATCH, {"notifications": [right, wrong]}))["results"]
    assert [result["status"] for result in results] == ["accepted", "refused"]
    assert results[1]["error"]["field"] == "data.order.number"
    assert len(list(entrance.stored())) == 2
