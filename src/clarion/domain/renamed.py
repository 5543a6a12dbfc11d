"""Names that users once wrote and the names they have now. An old name is refused, and the refusal names the new one."""

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
