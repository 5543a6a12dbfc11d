"""The JSON Schema of workflows (draft 2020-12), made from the types that read them."""

from typing import Any, Final

import msgspec

from clarion.domain.workflow import Workflow

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def workflow_schema() -> dict[str, Any]:
    """Return the schema. What it cannot say (names that have to exist, cycles) is said when a workflow is stored."""
    return {"$schema": _DIALECT, "title": "Clarion workflow", **msgspec.json.schema(Workflow)}
