"""The JSON Schema of workflows (draft 2020-12), made from the types that read them."""

from functools import cache
from typing import Any, Final

import msgspec

from clarion.domain.workflow import Workflow

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@cache
def encoded_schema() -> bytes:
    """Return the schema as JSON. It comes with the code, so it is made once."""
    return msgspec.json.encode(workflow_schema())


def workflow_schema() -> dict[str, Any]:
    """Return the schema. What it cannot say (names that have to exist, cycles) is said when a workflow is stored."""
    return {"$schema": _DIALECT, "title": "Clarion workflow", **msgspec.json.schema(Workflow)}
