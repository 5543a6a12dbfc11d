"""Versioned definitions on PostgreSQL. Of the versions of a key at most one is current: the newest, unless the
definition was removed. `removed` marks all other versions, which stay for the instances and requests that still use
them."""

from typing import Any, Final

from clarion.domain.errors import Conflict
from clarion.domain.limits import DEFINITIONS_PER_KIND_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_definitions import DefinitionRecord
from clarion.stores.postgres.control_run import Runner, Transaction

_COLUMNS: Final = ", ".join(DefinitionRecord.__struct_fields__)
_SELECT: Final = f"SELECT {_COLUMNS} FROM definitions WHERE tenant = $1 AND kind = $2"  # noqa: S608 - constants
_CURRENT: Final = f"{_SELECT} AND key = $3 AND NOT removed"
_VERSION: Final = f"{_SELECT} AND key = $3 AND version = $4"
_PAGE: Final = f"{_SELECT} AND key > $3 AND NOT removed ORDER BY key LIMIT $4"
_REMOVE: Final = """
UPDATE definitions SET removed = true WHERE tenant = $1 AND kind = $2 AND key = $3 AND NOT removed
"""
_HISTORY: Final = """
SELECT max(version), min(created_ms) FROM definitions WHERE tenant = $1 AND kind = $2 AND key = $3
"""
_INSERT: Final = """
INSERT INTO definitions (tenant, kind, key, version, body, created_ms, updated_ms, removed)
VALUES ($1, $2, $3, $4, $5, $6, $7, false)
"""
_COUNT: Final = "SELECT count(*) FROM definitions WHERE tenant = $1 AND kind = $2 AND NOT removed"


class PostgresDefinitions:
    """Implements `ports/control_definitions.py`."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Store a body as the next version and return it; an unchanged body returns the current version. Raises
        `Conflict` over `DEFINITIONS_PER_KIND_MAX` keys."""
        return await self._runner.run(tenant, lambda tx: self.put_within(tx, tenant, kind, key, body), locked=tenant)

    async def get(self, tenant: str, kind: str, key: str, version: int | None = None) -> DefinitionRecord | None:
        """Return the newest version, or None if the definition was removed; a requested version is returned even
        then."""
        if version is None:
            row = await self._runner.row(tenant, _CURRENT, tenant, kind, key)
        else:
            row = await self._runner.row(tenant, _VERSION, tenant, kind, key, version)
        return _record(row) if row else None

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> list[DefinitionRecord]:
        """Return the newest versions in the order of their keys, without removed definitions."""
        return [_record(row) for row in await self._runner.rows(tenant, _PAGE, tenant, kind, after, limit)]

    async def remove(self, tenant: str, kind: str, key: str) -> bool:
        """Remove a definition; return whether there was one. Version numbers continue if it is defined again."""
        return (
            await self._runner.run(tenant, lambda tx: tx.define(tenant, _REMOVE, tenant, kind, key), locked=tenant) > 0
        )

    async def put_within(self, tx: Transaction, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Do the work of `put` within a transaction that locks the tenant."""
        own = (tenant, kind, key)
        current = await tx.row(_CURRENT, *own)
        if current and _record(current).body == body:
            return _record(current)
        newest, created_ms = await tx.row(_HISTORY, *own)
        now_ms = self._clock.now_ms()
        record = DefinitionRecord(key, (newest or 0) + 1, body, now_ms if created_ms is None else created_ms, now_ms)
        await tx.change(_REMOVE, *own)
        await tx.define(tenant, _INSERT, *own, record.version, body.decode(), record.created_ms, record.updated_ms)
        if await tx.value(_COUNT, tenant, kind) > DEFINITIONS_PER_KIND_MAX:
            raise Conflict(f"a tenant has at most {DEFINITIONS_PER_KIND_MAX} of these")
        return record


def _record(row: Any) -> DefinitionRecord:
    key, version, body, *times = row
    return DefinitionRecord(key, version, body.encode(), *times)
