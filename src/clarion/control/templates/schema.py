"""Validation of the JSON Schema of a template's variables, and of the sample against it."""

from typing import Final

import msgspec

from clarion.control.templates.shapes import TemplateWarning
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import SCHEMA_BYTES_MAX
from clarion.domain.template import Source
from clarion.ports.schemas import Fault, Schemas

_FIELD: Final = "variables"
_CODE: Final = "invalid_schema"


def check_schema(source: Source, schemas: Schemas) -> None:
    """Raise `InvalidField` when the schema that a source declares is not usable, or its sample data does not satisfy
    it."""
    schema = source.variables
    if schema is None:
        return
    if len(msgspec.json.encode(schema)) > SCHEMA_BYTES_MAX:
        raise InvalidField(f"is larger than {SCHEMA_BYTES_MAX} bytes", field=_FIELD, code=_CODE)
    fault = schemas.fault_of(schema)
    if fault is None and schema.get("type", "object") != "object":
        fault = Fault("type", 'must be "object": data is one')
    if fault is not None:
        raise InvalidField(fault.detail, field=_path(_FIELD, fault.path), code=_CODE)
    if source.sample.data:
        fault = schemas.check(schema, source.sample.data)
        if fault is not None:
            raise InvalidField(fault.detail, field=_path("sample.data", fault.path), code="sample_mismatch")


def chance_warnings(built: Template) -> tuple[TemplateWarning, ...]:
    """Return a warning for each variable that parts need and the declared schema does not require."""
    detail = "is not in `required`, but parts that read it need it; require it, or read it with a default"
    return tuple(TemplateWarning("variable_not_required", detail, f"data.{name}") for name in built.chanced)


def sample_warnings(source: Source, built: Template, schemas: Schemas) -> tuple[TemplateWarning, ...]:
    """Return a warning when sample data does not satisfy the inferred schema of a template."""
    if source.variables is not None or built.schema is None or not source.sample.data:
        return ()
    fault = schemas.check(built.schema, source.sample.data)
    return (
        () if fault is None else (TemplateWarning("sample_mismatch", fault.detail, _path("sample.data", fault.path)),)
    )


def _path(field: str, below: str) -> str:
    return field + (f".{below}" if below and not below.startswith("[") else below)
