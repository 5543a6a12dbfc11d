"""The repository of versioned definitions: workflows, segments, schedules, event rules, policies. Bodies are JSON."""

from typing import Protocol

import msgspec


class DefinitionRecord(msgspec.Struct, frozen=True):
    """One version of a definition; `body` is JSON."""

    key: str
    version: int
    body: bytes
    created_ms: int
    updated_ms: int


class Definitions(Protocol):
    """Definitions of a tenant by kind and key."""

    async def put(self, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Store a body as the next version and return it; a body equal to the newest version's returns that version.
        Earlier versions stay readable by number. Raises `Conflict` over `DEFINITIONS_PER_KIND_MAX` keys."""
        ...

    async def get(self, tenant: str, kind: str, key: str, version: int | None = None) -> DefinitionRecord | None:
        """Return the newest version, None when the definition was removed; or the given version, even then."""
        ...

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> list[DefinitionRecord]:
        """Return newest versions in the order of their keys, without removed ones."""
        ...

    async def remove(self, tenant: str, kind: str, key: str) -> bool:
        """Remove a definition; return whether it existed. Version numbers continue if it is created again."""
        ...
