"""JSON Schemas compiled once. Patterns are matched in linear time, references are never fetched."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import jsonschema_rs
import msgspec

from clarion.domain.limits import DATA_BYTES_MAX
from clarion.domain.limits_content import (
    SCHEMA_NODES_KEPT_MAX,
    SCHEMA_NODES_MAX,
    SCHEMA_PATTERN_BYTES_MAX,
    SCHEMA_WORK_MAX,
)
from clarion.domain.schema import says_more_than_names
from clarion.languages.jsonschema.weight import weight_of
from clarion.ports.schemas import Fault

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PATTERNS: Final = jsonschema_rs.RegexOptions(SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERN_BYTES_MAX)
_HIDDEN: Final = "it"
"""Replaces the value in error texts: data may be long or confidential."""
_ENCODER: Final = msgspec.json.Encoder()


class _Compiled(NamedTuple):
    schema: dict[str, Any]
    validator: jsonschema_rs.Draft202012Validator | None
    bytes_max: int
    """Maximum size of data whose check is within the limit of work; 0 when any data is."""
    nodes: int


class JsonSchemas:
    """Implements `ports/schemas.py`. A schema that only requires names at the top level is checked without a
    validator."""

    def __init__(self) -> None:
        self._compiled: dict[int, _Compiled] = {}
        self._nodes = 0

    def fault_of(self, schema: Mapping[str, Any]) -> Fault | None:
        """Return why a value cannot be used as a schema, or None when it can."""
        if schema.get("$schema", _DIALECT) not in (_DIALECT, f"{_DIALECT}#"):
            return Fault("$schema", f"must be {_DIALECT}")
        try:
            weight_of(schema)
            _validator(schema)
        except jsonschema_rs.ValidationError as error:
            return Fault(_path(error.instance_path), _detail(error))
        except ValueError as error:
            return Fault("", str(error))
        return None

    def check(self, schema: dict[str, Any], data: Mapping[str, Any]) -> Fault | None:
        """Return the first fault of data, or None when it satisfies the schema. For a schema that cannot be used, only
        its required top-level names are checked."""
        found = self._compiled.get(id(schema))
        if found is None:
            found = self._compile(schema)
        validator = found.validator
        if validator is None:
            return _missing(schema, data)
        if found.bytes_max and len(_ENCODER.encode(data)) > found.bytes_max:
            return Fault("", f"is larger than {found.bytes_max} bytes, which is too much work under its schema")
        return None if validator.is_valid(data) else _first(validator, data)

    def _compile(self, schema: dict[str, Any]) -> _Compiled:
        made = _compiled(schema)
        self._nodes += made.nodes
        if self._nodes > SCHEMA_NODES_KEPT_MAX:
            self._compiled.clear()
            self._nodes = made.nodes
        # The schema is stored with its validator, so that no other schema can get its identity.
        self._compiled[id(schema)] = made
        return made


def _compiled(schema: dict[str, Any]) -> _Compiled:
    try:
        nodes = weight_of(schema)
        if not says_more_than_names(schema):
            return _Compiled(schema, None, 0, nodes)
        bytes_max = SCHEMA_WORK_MAX // nodes
        return _Compiled(schema, _validator(schema), bytes_max if bytes_max < DATA_BYTES_MAX else 0, nodes)
    except ValueError:
        # An authored schema would have been refused: this one was inferred and may be too large. Its names are still
        # required.
        return _Compiled(schema, None, 0, SCHEMA_NODES_MAX)


def _validator(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(dict(schema), pattern_options=_PATTERNS, mask=_HIDDEN, offline=True)


def _missing(schema: Mapping[str, Any], data: Mapping[str, Any]) -> Fault | None:
    return next((Fault(name, "is required") for name in schema.get("required", ()) if name not in data), None)


def _first(validator: jsonschema_rs.Draft202012Validator, data: Mapping[str, Any]) -> Fault | None:
    # Collecting all faults of a long list would take seconds.
    try:
        validator.validate(data)
    except jsonschema_rs.ValidationError as error:
        kind, path = error.kind, error.instance_path
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
            return Fault(_path([*path, kind.property]), "is required")
        return Fault(_path(path), _detail(error))
    return None


def _detail(error: jsonschema_rs.ValidationError) -> str:
    return error.message.partition("\n")[0].removeprefix(f"{_HIDDEN} ")


def _path(steps: Sequence[str | int]) -> str:
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return written.removeprefix(".")
