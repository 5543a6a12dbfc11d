"""Schemas of template data: an inferred schema accepts what the template can render, and declarations are found."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX
from clarion.domain.schema import infer, required_names, required_paths, says_more_than_names, undeclared
from clarion.languages.jsonschema.schemas import JsonSchemas

ORDER = {
    "type": "object",
    "properties": {
        "order": {
            "type": "object",
            "properties": {
                "number": {"type": ["string", "number"]},
                "lines": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"name": {}}, "required": ["name"]},
                },
            },
            "required": ["number", "lines"],
        },
        "paid": {"type": ["boolean", "null"]},
        "promo": {"properties": {"code": {}}},
    },
    "required": ["order"],
}


def test_objects_lists_and_types_are_inferred():
    sample = {"order": {"number": "A-1", "lines": [{}]}, "paid": True}
    assert infer(["order.number", "order.lines[].name"], ["order.number", "paid", "promo.code"], sample) == ORDER


def test_nothing_read_is_nothing_demanded():
    assert infer([], [], {"x": 1}) == {"type": "object", "properties": {}}


def test_members_of_every_list_and_text_determine_no_type():
    inferred = infer(["lines.size", "name.first", "rows[]", "rows.length", "list.0.id"], [], {})["properties"]
    assert (inferred["lines"], inferred["name"], inferred["list"]) == ({}, {}, {})
    assert inferred["rows"] == {"type": "array", "items": {}}


def test_a_sample_distinguishes_a_member_size_from_the_size_of_a_list():
    assert infer(["shoe.size"], [], {"shoe": {"size": 42}})["properties"]["shoe"]["required"] == ["size"]


def test_a_path_is_followed_as_deep_as_a_schema():
    schema = infer([".".join(["a"] * 10_000)], [], {})
    assert JsonSchemas().fault_of({"properties": {"x": {}}}) is None
    assert len(required_paths(schema)) == SCHEMA_DEPTH_MAX


def test_undeclared_paths_are_named():
    assert undeclared(ORDER, ["order.number", "order.lines[].name", "promo.code"]) is None
    assert undeclared(ORDER, ["order.numbr.x", "nothing"]) == "order.numbr"
    assert undeclared(ORDER, ["order.lines[].price"]) == "order.lines[].price"
    assert undeclared(ORDER, ["order.lines.size", "order.lines.0.name", "order.number.size"]) is None
    assert undeclared(ORDER, ["order.size"]) == "order.size"


def test_an_open_schema_declares_everything():
    for schema in (
        {},
        {"type": "object"},
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "patternProperties": {"^x": {}}},
        {"$ref": "#/$defs/x", "properties": {"a": {}}},
        {"additionalProperties": {"properties": {"c": {}}}},
    ):
        assert undeclared(schema, ["b.c"]) is None, schema
    assert undeclared({"additionalProperties": {"properties": {"c": {}}}}, ["b.d"]) == "b.d"
    assert undeclared({"properties": {"a": {}}, "additionalProperties": False}, ["b"]) == "b"


def test_required_names_are_paths():
    assert required_paths(ORDER) == {"order", "order.number", "order.lines", "order.lines[].name"}
    assert (required_names(ORDER), required_names({}), required_names({"required": 3})) == (("order",), (), ())


def test_schemas_that_only_name_variables_are_recognized():
    assert not says_more_than_names(infer(["a", "b"], ["c"], {}))
    for more in (
        ORDER,
        infer(["a"], [], {"a": "x"}),
        {"minProperties": 1},
        {"properties": {"a": False, "b": {"a": 1}}},
    ):
        assert says_more_than_names(more), more


names = st.sampled_from(["a", "b", "size", "first"])
tokens = st.recursive(names, lambda rest: st.builds(lambda a, b: f"{a}.{b}", names, rest), max_leaves=4)
paths = st.lists(tokens | st.builds(lambda name, rest: f"{name}[].{rest}", names, tokens), max_size=6)


@given(paths, paths)
def test_an_inferred_schema_declares_the_read_paths(needed, read):
    schema = infer(needed, read, {})
    assert JsonSchemas().fault_of(schema) is None
    assert undeclared(schema, [*needed, *read]) is None
    assert set(required_names(schema)) == {path.partition(".")[0].removesuffix("[]") for path in needed}


@given(paths, paths, st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.text(), max_size=3))
def test_a_sample_of_scalars_never_demands_lists_or_objects(needed, read, sample):
    """Of a sample, only scalars at places where a scalar is read determine types."""
    schema = infer(needed, read, sample)
    for name, known in schema["properties"].items():
        if name in sample and known.get("type") not in (None, "object", "array"):
            assert JsonSchemas().check({"properties": {name: known}}, {name: sample[name]}) is None
