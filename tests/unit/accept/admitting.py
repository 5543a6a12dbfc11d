"""Checks bodies as intake does: gathers the definitions they name, then admits them."""

from typing import Any

from clarion.accept.admit import RequestChecks
from clarion.accept.definitions import Definitions, names_in_bodies
from clarion.accept.gather import gather_definitions
from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.languages.jsonschema.schemas import JsonSchemas


async def admission(directory: Any, tenant: str, body: NotificationIn | BroadcastIn, now_ms: int) -> RequestChecks:
    """Return the checks of one body."""
    found = Definitions({}, {}, {}, set(), {})
    await gather_definitions(directory, tenant, names_in_bodies([body]), found)
    return RequestChecks(found, JsonSchemas(), now_ms)
