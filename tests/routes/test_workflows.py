"""Workflows over HTTP: versions, references, and that a refused workflow is not stored."""

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.workflow import Workflow
from tests.contract.controls import ControlPlane
from tests.registries import categories_of, definitions_of, templates_of

T = "acme"
ONE = "/v1/workflows/welcome"


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await templates_of(control_plane.control).put(
        T, Template("hello", 0, None, {Channel.PUSH: {"title": "Hi", "body": "x"}})
    )
    yield control_plane
    await control_plane.close()


def welcome(**fields):
    return {"steps": [{"kind": "send", "name": "hello", "template": "hello", **fields}], "name": "Welcome"}


async def test_a_workflow_is_stored_shown_listed_and_removed(control_plane):
    stored = await control_plane.say("PUT", ONE, welcome())
    assert (stored["key"], stored["version"], stored["name"]) == ("welcome", 1, "Welcome")
    assert stored["steps"] == welcome()["steps"]
    assert await control_plane.say("PUT", ONE, welcome()) == stored, "the same body again is the same version"
    assert (await control_plane.say("PUT", ONE, welcome(channels=["push"])))["version"] == 2
    assert (await control_plane.say("GET", ONE))["steps"][0]["channels"] == ["push"]
    assert await control_plane.say("GET", ONE, version="1") == stored
    assert [one["version"] for one in (await control_plane.say("GET", "/v1/workflows"))["data"]] == [2]
    assert (await control_plane.call("DELETE", ONE)).status == 204
    with pytest.raises(NotFound):
        await control_plane.call("GET", ONE)
    assert await control_plane.say("GET", ONE, version="1") == stored
    assert (await control_plane.say("PUT", ONE, welcome()))["version"] == 3


@pytest.mark.parametrize("version", ["0", "9", "999999999"])
async def test_a_version_there_is_not_is_not_found(control_plane, version):
    await control_plane.say("PUT", ONE, welcome())
    with pytest.raises(NotFound):
        await control_plane.call("GET", ONE, version=version)


@pytest.mark.parametrize("version", ["", "-1", "one", "1.0", "\u00b2", "9" * 30])
async def test_a_version_that_is_no_number_is_refused(control_plane, version):
    with pytest.raises(InvalidField) as refused:
        await control_plane.call("GET", ONE, version=version)
    assert refused.value.field == "version"


async def test_what_a_workflow_names_has_to_exist_and_a_refused_one_leaves_nothing(control_plane):
    faults = [
        (welcome(template="gone"), "steps[0].template", "unknown_template"),
        (welcome(category="news"), "steps[0].category", "unknown_category"),
        (welcome() | {"category": "news"}, "category", "unknown_category"),
        (welcome(channels=["sms"]), "steps[0].channels[0]", "invalid_field"),
        (welcome(data={"n": "data."}), "steps[0].data.n", "bad_expression"),
    ]
    for body, field, code in faults:
        with pytest.raises(InvalidField) as refused:
            await control_plane.call("PUT", ONE, body)
        assert (refused.value.field, refused.value.code) == (field, code)
        with pytest.raises(InvalidField):
            await control_plane.call("PUT", ONE, body, tenant="other")
    assert await definitions_of(control_plane.control, control_plane.clock).page(T, Workflow.KIND, "", 9) == []
    await categories_of(control_plane.control).put(T, Category("news"))
    assert (await control_plane.call("PUT", ONE, welcome(category="news") | {"category": "news"})).status == 200


async def test_a_key_that_is_none_is_refused(control_plane):
    with pytest.raises(InvalidField):
        await control_plane.call("PUT", "/v1/workflows/two words", welcome())


async def test_no_tenant_sees_the_workflows_of_another(control_plane):
    await control_plane.say("PUT", ONE, welcome())
    for query in ({}, {"version": "1"}):
        with pytest.raises(NotFound):
            await control_plane.call("GET", ONE, tenant="other", **query)
    assert (await control_plane.say("GET", "/v1/workflows", tenant="other"))["data"] == []
    with pytest.raises(NotFound):
        await control_plane.call("DELETE", ONE, tenant="other")


async def test_the_schema_is_published(control_plane):
    reply = await control_plane.call("GET", "/v1/workflows/schema")
    assert reply.content_type == "application/schema+json"
    schema = msgspec.json.decode(reply.raw)
    assert schema["$ref"] == "#/$defs/Workflow"
    assert schema["$defs"]["WaitUntil"]["required"] == ["kind", "name", "timeout"]
