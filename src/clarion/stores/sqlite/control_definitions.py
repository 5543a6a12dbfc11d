"""Versioned definitions in `control.db`. Of the versions of a key at most one is current: the newest, unless the
definition was removed. `removed` marks all other versions, which stay for the instances and requests that still use
them."""

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, select, text, update

from clarion.domain.errors import Conflict
from clarion.domain.limits import DEFINITIONS_PER_KIND_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_definitions import DefinitionRecord
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import DEFINITIONS

_COLUMNS: Final = [DEFINITIONS.c[name] for name in DefinitionRecord.__struct_fields__]
# A literal, not a bound value: only then does SQLite use the index of current versions.
_CURRENT: Final = text("removed = 0")


class SqliteDefinitions:
    """Implements `ports/control_definitions.py`."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Store a body as the next version and return it; an unchanged body returns the current version. Raises
        `Conflict` over `DEFINITIONS_PER_KIND_MAX` keys."""
        return await self._runner.run(lambda tx: self.put_within(tx, tenant, kind, key, body))

    async def get(self, tenant: str, kind: str, key: str, version: int | None = None) -> DefinitionRecord | None:
        """Return the newest version, or None if the definition was removed; a requested version is returned even
        then."""
        which = _CURRENT if version is None else DEFINITIONS.c.version == version
        query = select(*_COLUMNS).where(_definition(tenant, kind, key), which)
        row = self._runner.read(lambda tx: tx.row(query))
        return _record(row) if row else None

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> list[DefinitionRecord]:
        """Return the newest versions in the order of their keys, without removed definitions."""
        own = and_(_kind(tenant, kind), _CURRENT, DEFINITIONS.c.key > after)
        query = select(*_COLUMNS).where(own).order_by(DEFINITIONS.c.key).limit(limit)
        return [_record(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

    async def remove(self, tenant: str, kind: str, key: str) -> bool:
        """Remove a definition; return whether there was one. Version numbers continue if it is defined again."""
        write = update(DEFINITIONS).where(_definition(tenant, kind, key), _CURRENT).values(removed=1)
        return await self._runner.run(lambda tx: tx.define(tenant, write)) > 0

    def put_within(self, tx: Transaction, tenant: str, kind: str, key: str, body: bytes) -> DefinitionRecord:
        """Do the work of `put` within a transaction."""
        own = _definition(tenant, kind, key)
        current = tx.row(select(*_COLUMNS).where(own, _CURRENT))
        if current and _record(current).body == body:
            return _record(current)
        ((newest, created_ms),) = tx.rows(
            select(func.max(DEFINITIONS.c.version), func.min(DEFINITIONS.c.created_ms)).where(own)
        )
        now_ms = self._clock.now_ms()
        record = DefinitionRecord(key, (newest or 0) + 1, body, now_ms if created_ms is None else created_ms, now_ms)
        tx.change(update(DEFINITIONS).where(own, _CURRENT).values(removed=1))
        row = msgspec.structs.asdict(record) | {"body": body.decode(), "removed": 0}
        tx.define(tenant, insert(DEFINITIONS).values(tenant=tenant, kind=kind, **row))
        count = select(func.count()).select_from(DEFINITIONS).where(_kind(tenant, kind), _CURRENT)
        if tx.rows(count)[0][0] > DEFINITIONS_PER_KIND_MAX:
            raise Conflict(f"a tenant has at most {DEFINITIONS_PER_KIND_MAX} of these")
        return record


def _kind(tenant: str, kind: str) -> ColumnElement[bool]:
    return and_(DEFINITIONS.c.tenant == tenant, DEFINITIONS.c.kind == kind)


def _definition(tenant: str, kind: str, key: str) -> ColumnElement[bool]:
    return and_(_kind(tenant, kind), DEFINITIONS.c.key == key)


def _record(row: Row) -> DefinitionRecord:
    key, version, body, *times = row
    return DefinitionRecord(key, version, body.encode(), *times)
