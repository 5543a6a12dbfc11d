"""Guarantees of JSON Schema validation: errors with their paths, bounded work, no remote references."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX
from clarion.domain.schema import infer
from clarion.languages.jsonschema import schemas as backend
from clarion.languages.jsonschema.schemas import JsonSchemas

SOON_S = 1.0
ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "object", "properties": {"number": {"type": "number"}}, "required": ["number"]},
        "lines": {"type": "array", "items": {"properties": {"name": {"type": "string", "maxLength": 3}}}},
        "code": {"pattern": "^[A-Z]+$"},
        "kind": {"$ref": "#/$defs/kind"},
    },
    "required": ["order"],
    "$defs": {"kind": {"enum": ["a", "b"]}},
}


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({}, "order"),
        ({"order": {}}, "order.number"),
        ({"order": {"number": "1"}}, "order.number"),
        ({"order": {"number": 1}, "lines": [{"name": "a"}, {"name": "abcd"}]}, "lines[1].name"),
        ({"order": {"number": 1}, "code": "a"}, "code"),
        ({"order": {"number": 1}, "kind": "c"}, "kind"),
        ({"order": []}, "order"),
    ],
)
def test_a_fault_has_its_path_and_does_not_repeat_the_data(data, path):
    fault = JsonSchemas().check(ORDER, data)
    assert fault.path == path
    assert fault.detail and "abcd" not in fault.detail
    assert fault.detail.startswith(("is ", "does "))


def test_what_satisfies_a_schema_has_no_fault():
    data = {"order": {"number": 1.5}, "lines": [{}, {"name": "abc"}], "code": "A", "kind": "a", "more": None}
    assert JsonSchemas().fault_of(ORDER) is None
    assert JsonSchemas().check(ORDER, data) is None


def test_names_alone_are_checked_without_a_validator(monkeypatch):
    monkeypatch.setattr(backend, "_validator", None)
    schemas, names = JsonSchemas(), {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]}
    assert schemas.check(names, {"a": None, "b": 1}) is None
    assert schemas.check(names, {"a": 1}).path == "b"


def nested(levels):
    schema = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def chain(numbers):
    """Return a schema in which each definition refers to the next one."""
    return {"$defs": {"a2000": {}, **{f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in numbers}}}


def doubling(keyword, levels):
    """Return a schema of a few lines that takes 2 ** levels checks when every reference is followed."""
    defs = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"a{levels}": {"type": "string"}}, "$ref": "#/$defs/a0"}


UNUSABLE = {
    "type": ({"type": "nope"}, "type"),
    "keyword": ({"properties": {"a": {"minimum": "1"}}}, "properties.a.minimum"),
    "network": ({"$ref": "https://example.com/schema.json"}, ""),
    "file": ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, ""),
    "relative": ({"$ref": "other.json#/x"}, ""),
    "nowhere": ({"$ref": "#/$defs/gone"}, ""),
    "itself": ({"properties": {"a": {"$ref": "#"}}}, ""),
    "ring": ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, ""),
    "escaped": ({"$defs": {"a/b": {"$ref": "#/%24defs/a~1b"}}}, ""),
    "moved": ({"properties": {"a": {"$id": "https://example.com/"}}}, ""),
    "anchor": ({"$defs": {"a": {"$anchor": "x"}}}, ""),
    "dynamic": ({"$dynamicRef": "#x"}, ""),
    "dialect": ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema"),
    "look-ahead": ({"properties": {"a": {"pattern": "(?=a)b"}}}, "properties.a.pattern"),
    "back-reference": ({"patternProperties": {r"(a)\1": {}}}, "patternProperties"),
    "large pattern": ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "properties.a.pattern"),
    "long pattern": ({"properties": {"a": {"pattern": "a" * SCHEMA_NODES_MAX}}}, ""),
    "deep": (nested(SCHEMA_DEPTH_MAX + 1), ""),
    "chain": (chain(range(2_000)), ""),
    "chain from its end": (chain(reversed(range(2_000))), ""),
    "very deep": (nested(5_000), ""),
    "wide": ({"allOf": [{}] * SCHEMA_NODES_MAX}, ""),
    **{keyword: (doubling(keyword, 40), "") for keyword in ("allOf", "anyOf", "oneOf")},
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_schema_is_refused_soon(name):
    schema, path = UNUSABLE[name]
    began = time.perf_counter()
    fault = JsonSchemas().fault_of(schema)
    assert time.perf_counter() - began < SOON_S
    assert fault is not None and fault.detail
    assert fault.path.startswith(path)


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_the_worst_accepted_schema_is_checked_soon(keyword):
    levels = next(n for n in range(40, 0, -1) if JsonSchemas().fault_of(doubling(keyword, n)) is None)
    began = time.perf_counter()
    assert JsonSchemas().check(doubling(keyword, levels), {"a": 1}) is not None
    assert time.perf_counter() - began < SOON_S


def test_much_data_under_a_heavy_schema_is_refused_unseen():
    schema = {"properties": {"rows": {"items": {"allOf": [{"maxProperties": 5}] * 900}}}}
    schemas, rows = JsonSchemas(), {"rows": [{}] * 60_000}
    began = time.perf_counter()
    fault = schemas.check(schema, rows)
    assert time.perf_counter() - began < SOON_S
    assert (fault.path, "too much work" in fault.detail) == ("", True)
    assert schemas.check(schema, {"rows": [{}] * 1_000}) is None


def test_an_inferred_schema_too_large_to_use_demands_its_names():
    schema = infer([f"order{n}.number" for n in range(SCHEMA_NODES_MAX)], [], {})
    schemas, data = JsonSchemas(), {f"order{n}": None for n in range(SCHEMA_NODES_MAX)}
    assert schemas.fault_of(schema) is not None
    assert schemas.check(schema, data) is None
    del data["order7"]
    assert schemas.check(schema, data).path == "order7"


def test_no_pattern_makes_matching_slow():
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    began = time.perf_counter()
    assert JsonSchemas().check(schema, {"a": "a" * 100_000 + "b"}).path == "a"
    assert time.perf_counter() - began < SOON_S


def test_the_cache_is_bounded_and_never_confuses_schemas(monkeypatch):
    monkeypatch.setattr(backend, "SCHEMA_NODES_KEPT_MAX", 100)
    schemas = JsonSchemas()
    for number in range(1_000):
        assert schemas.check({"properties": {"a": {"const": number}}}, {"a": number}) is None
        assert sum(one.nodes for one in schemas._compiled.values()) <= 100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda rest: st.lists(rest, max_size=3) | st.dictionaries(st.text(max_size=3), rest, max_size=3),
    max_leaves=8,
)
keywords = st.sampled_from(
    ["type", "properties", "items", "allOf", "$ref", "pattern", "required", "enum", "$defs", "not"]
)


@pytest.mark.slow
@given(
    st.dictionaries(keywords, json_values, max_size=4), st.dictionaries(st.text(max_size=3), json_values, max_size=3)
)
def test_any_schema_is_refused_or_checks(schema, data):
    schemas = JsonSchemas()
    if schemas.fault_of(schema) is None:
        fault = schemas.check(schema, data)
        assert fault is None or isinstance(fault.path, str)
