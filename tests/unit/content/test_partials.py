"""Partials are inserted as text, within bounds."""

import pytest

from clarion.content.partials import Partials, references
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import BUILT_PART_BYTES_MAX, PARTIAL_DEPTH_MAX
from clarion.domain.template import Partial


def put(source, engine="liquid", **partials):
    found = {key: one if isinstance(one, Partial) else Partial(one, engine) for key, one in partials.items()}
    return Partials(found, engine).put_into(source)


def refused(source, **partials):
    with pytest.raises(InvalidField) as error:
        put(source, **partials)
    return error.value.code


def test_partials_within_partials():
    assert put(["{% partial a %}!", {"x": "{%- partial 'a' -%}"}], a="<{% partial b %}>", b="{{ x }}") == [
        "<{{ x }}>!",
        {"x": "<{{ x }}>"},
    ]
    assert put("{{> a}}", "handlebars", a="<{{>b}}>", b="{{x}}") == "<{{x}}>"


def test_partials_that_cannot_be_inserted():
    assert refused("{% partial a %}") == "unknown_partial"
    assert refused("{% partial a, b %}", a="x") == "template_syntax"
    assert refused("{% partial a %}", a=Partial("x", "handlebars")) == "engine_mismatch"
    assert refused("{% partial a %}", a="{% partial b %}", b="{% partial a %}") == "partial_cycle"
    half = "x" * (BUILT_PART_BYTES_MAX // 2)
    assert refused("{% partial a %}{% partial a %}{% partial a %}", a=half) == "too_large"


def test_how_deep_they_may_be_nested():
    chain = {f"p{n}": f"{{% partial p{n + 1} %}}" for n in range(PARTIAL_DEPTH_MAX)}
    assert put("{% partial p1 %}", **chain, **{f"p{PARTIAL_DEPTH_MAX}": "x"}) == "x"
    # By every path: also through partials inserted before.
    assert refused("{% partial p1 %}{% partial p0 %}", **chain, **{f"p{PARTIAL_DEPTH_MAX}": "x"}) == "partial_depth"


def test_partials_that_multiply_are_expanded_once():
    many = {f"p{n}": f"{{% partial p{n + 1} %}}" * 300 for n in range(1, PARTIAL_DEPTH_MAX)}
    assert put("{% partial p1 %}", **many, **{f"p{PARTIAL_DEPTH_MAX}": ""}) == ""


def test_references():
    assert references({"a": ["{% partial x %}{% partial y %}", "{% partial x %}"], "b": 1}, "liquid") == ["x", "y"]
