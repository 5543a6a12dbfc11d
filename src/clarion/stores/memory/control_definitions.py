"""Versioned definitions in memory."""

from clarion.domain.errors import Conflict
from clarion.domain.limits import DEFINITIONS_PER_KIND_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_definitions import DefinitionRecord
from clarion.stores.memory.control_state import ControlState, StoredDefinition, keys_after


class MemoryDefinitions:
    """Definitions of a tenant by kind and key."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def put(self, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Store a body as the next version and return it; an unchanged body returns the current version. Raises
        `Conflict` over `DEFINITIONS_PER_KIND_MAX` keys."""
        return self.put_within(tenant, kind, key, body)

    async def get(self, tenant: str, kind: str, key: str, version: int | None = None) -> DefinitionRecord | None:
        """Return the newest version, or None if the definition was removed; a requested version is returned even
        then."""
        found = self._state.definitions[tenant, kind].get(key)
        if found is None:
            return None
        return found.current if version is None else found.version(version)

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> list[DefinitionRecord]:
        """Return the newest versions in the order of their keys, without removed definitions."""
        current = self._state.current(tenant, kind)
        return [current[key] for key in keys_after(current, after, limit)]

    async def remove(self, tenant: str, kind: str, key: str) -> bool:
        """Remove a definition; return whether there was one. Version numbers continue if it is defined again."""
        found = self._state.definitions[tenant, kind].get(key)
        if found is None or found.current is None:
            return False
        found.removed = True
        self._state.changed(tenant)
        return True

    def put_within(self, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Do the work of `put` without awaiting."""
        found = self._state.definitions[tenant, kind].get(key, StoredDefinition())
        if found.current is not None and found.current.body == body:
            return found.current
        if found.current is None and len(self._state.current(tenant, kind)) >= DEFINITIONS_PER_KIND_MAX:
            raise Conflict(f"a tenant has at most {DEFINITIONS_PER_KIND_MAX} of these")
        now = self._clock.now_ms()
        created_ms = found.versions[0].created_ms if found.versions else now
        found.versions.append(DefinitionRecord(key, len(found.versions) + 1, body, created_ms, now))
        found.removed = False
        self._state.definitions[tenant, kind][key] = found
        self._state.changed(tenant)
        return found.versions[-1]
