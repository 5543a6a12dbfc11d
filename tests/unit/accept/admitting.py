"""Checking bodies as the door does: gather what they name, then admit."""

from typing import Any

from clarion.accept.admit import Admission
from clarion.accept.definitions import Definitions, wants_of
from clarion.accept.gather import gather_definitions
from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.backends.jsonschema.schemas import JsonSchemas


async def admission(directory: Any, tenant: str, body: NotificationIn | BroadcastIn, now_ms: int) -> Admission:
    """Return the checks of one body."""
    found = Definitions({}, {}, {}, set(), {})
    await gather_definitions(directory, tenant, wants_of([body]), found)
    return Admission(found, JsonSchemas(), now_ms)
