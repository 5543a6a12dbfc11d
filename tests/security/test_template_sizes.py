"""Templates that are too large, as sources or when built: refused with a reason, and nothing is stored."""

import pytest

from clarion.domain.limits_content import TEMPLATE_BYTES_MAX

PATH = "/v1/templates/large"
PLAIN = {"channels": {"sms": {"body": "x"}}}


async def refused(api, body, status=422):
    answer = await api.call("PUT", PATH, body)
    assert answer.status == status, answer.body[:300]
    assert (await api.call("GET", PATH)).status == 404
    assert not api.failures
    return answer.json


async def test_a_template_of_two_megabytes_is_too_large(api):
    problem = await refused(api, {"channels": {"sms": {"body": "x" * 2 * 1024 * 1024}}}, 413)
    assert problem["code"] == "too_large"
    assert str(TEMPLATE_BYTES_MAX) in problem["detail"]


@pytest.mark.parametrize("depth", [40, 60])
async def test_a_structured_part_is_only_so_deep(api, depth):
    tree = "leaf"
    for _ in range(depth):
        tree = {"a": tree}
    assert (await refused(api, {"channels": {"push": {"data": tree}}}))["field"] == "channels.push.data"


async def test_a_schema_that_doubles_with_every_line_is_refused(api):
    defs = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}
    schema = {"$defs": {**defs, "a30": {"type": "string"}}, "$ref": "#/$defs/a0"}
    problem = await refused(api, {**PLAIN, "variables": schema})
    assert (problem["field"], problem["code"]) == ("variables", "invalid_schema")


async def test_the_numbers_of_messages_and_locales_are_bounded(api):
    many = {"en": {"messages": {f"m{n}": "x" for n in range(2_001)}}}
    assert (await refused(api, {**PLAIN, "locales": many}))["field"] == "locales.en.messages"
    tags = {f"x{n}": {} for n in range(101)}
    assert (await refused(api, {**PLAIN, "locales": tags}))["field"] == "locales"
