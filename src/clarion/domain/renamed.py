"""Names that users once wrote and the names they have now. An old name is refused, and the refusal names the new one."""

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
"""Commands of `clarion`."""

FIELDS: Final[Mapping[str, str]] = MappingProxyType({"lane": "priority", "recipient_time": "local_time"})
"""Fields of bodies of the API and of files of templates."""


def renamed_field(text: str) -> str:
    """Return what a decoder says of a body; of an unknown field that has another name now, that name."""
    unknown = re.search(r"unknown field `([^`]+)`", text)
    if unknown is None or unknown[1] not in FIELDS:
        return text
    return f"`{unknown[1]}` is now called `{FIELDS[unknown[1]]}`"
