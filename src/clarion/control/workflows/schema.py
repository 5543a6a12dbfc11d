"""The JSON Schema of workflows (draft 2020-12), generated from the types that decode them."""

from functools import cache
from typing import Any, Final

import msgspec

from clarion.domain.workflow import Workflow

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@cache
def encoded_schema() -> bytes:
    """Return the schema as JSON. It depends on the code only, so it is generated once."""
    return msgspec.json.encode(workflow_schema())


def workflow_schema() -> dict[str, Any]:
    """Return the schema. Rules beyond a schema (existing names, no cycles) are checked when a workflow is stored."""
    schema = msgspec.json.schema(Workflow)
    schema["$defs"]["SecretHeader"]["oneOf"] = [{"required": [name]} for name in ("from", "secret", "sealed")]
    return {"$schema": _DIALECT, "title": "Clarion workflow", **schema}
