"""Former names of commands, fields and paths and their current names. A former name is refused with an error that gives the
current one."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "whole": "all-in-one",
        "providers set": "providers push",
        "providers standing": "providers health",
        "workflows put": "workflows push",
    }
)
"""Commands of `clarion`: former to current."""

FIELDS: Final[Mapping[str, str]] = MappingProxyType({"lane": "priority", "recipient_time": "local_time"})
"""Fields of API bodies and of template files: former to current."""

PATHS: Final[Mapping[str, str]] = MappingProxyType({"standing": "health"})
"""Last parts of the paths of a provider's routes: former to current."""


def renamed_path(path: str) -> str | None:
    """Return the current path of a route that was renamed, None for any other path."""
    found = re.fullmatch(r"(/v1/providers/[^/]+/)([^/]+)", path)
    if found is None or found[2] not in PATHS:
        return None
    return found[1] + PATHS[found[2]]


def renamed_field(text: str) -> str:
    """Return the message of a decoder; for an unknown field that was renamed, a message that gives its current name."""
    unknown = re.search(r"unknown field `([^`]+)`", text)
    if unknown is None or unknown[1] not in FIELDS:
        return text
    return f"`{unknown[1]}` is now called `{FIELDS[unknown[1]]}`"
