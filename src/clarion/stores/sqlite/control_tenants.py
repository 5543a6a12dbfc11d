"""Tenants in `control.db`."""

from typing import Final

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain.errors import NotFound
from clarion.domain.token_key import TokenKey
from clarion.ports.clock import Clock
from clarion.ports.control import TenantRecord
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import TENANTS, TOKEN_KEYS

_TENANT_COLUMNS: Final = [TENANTS.c[name] for name in TenantRecord.__struct_fields__]


class SqliteTenants:
    """The tenants of the installation."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, name: str) -> TenantRecord:
        """Create a tenant or rename it."""
        now = self._clock.now_ms()
        write = upsert(TENANTS).values(tenant=tenant, name=name, defaults="{}", created_ms=now, updated_ms=now)
        write = write.on_conflict_do_update(index_elements=["tenant"], set_={"name": name, "updated_ms": now})

        def work(tx: Transaction) -> TenantRecord:
            tx.define(OPERATOR_LEVEL, write)
            row = tx.row(select(*_TENANT_COLUMNS).where(TENANTS.c.tenant == tenant))
            return _tenant(row or ())

        return await self._runner.run(work)

    async def get(self, tenant: str) -> TenantRecord | None:
        """Return a tenant, or None when there is none."""
        query = select(*_TENANT_COLUMNS).where(TENANTS.c.tenant == tenant)
        row = self._runner.read(lambda tx: tx.row(query))
        return _tenant(row) if row else None

    async def page(self, after: str, limit: int) -> list[TenantRecord]:
        """Return tenants in the order of their ids."""
        query = select(*_TENANT_COLUMNS).where(TENANTS.c.tenant > after).order_by(TENANTS.c.tenant).limit(limit)
        return [_tenant(row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def set_defaults(self, tenant: str, defaults: dict[str, dict[str, bool]]) -> None:
        """Replace the default preferences of a tenant. Raises `NotFound`."""
        text = msgspec.json.encode(defaults, order="sorted").decode()
        write = (
            update(TENANTS)
            .where(TENANTS.c.tenant == tenant)
            .values(defaults=text, updated_ms=self._clock.now_ms())
        )  # fmt: skip
        if not await self._runner.run(lambda tx: tx.define(tenant, write)):
            raise NotFound("no such tenant")

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that user tokens are signed with."""
        return self._runner.read(lambda tx: _token_key(tx, tenant))

    async def rotate_token_key(self, tenant: str, overlap_ms: int) -> TokenKey:
        """Begin another key for user tokens; those of the one before are valid until the overlap ends."""
        values = {"previous_until_ms": self._clock.now_ms() + overlap_ms}
        write = upsert(TOKEN_KEYS).values(tenant=tenant, generation=1, **values)
        set_ = {**values, "generation": TOKEN_KEYS.c.generation + 1}
        write = write.on_conflict_do_update(index_elements=["tenant"], set_=set_)

        def work(tx: Transaction) -> TokenKey:
            tx.define(tenant, write)
            return _token_key(tx, tenant)

        return await self._runner.run(work)


def _token_key(tx: Transaction, tenant: str) -> TokenKey:
    kept = TOKEN_KEYS.c
    row = tx.row(select(kept.generation, kept.previous_until_ms).where(kept.tenant == tenant))
    return TokenKey() if row is None else TokenKey(*row)


def _tenant(row: Row) -> TenantRecord:
    tenant, name, defaults, created_ms, updated_ms = row
    return TenantRecord(tenant, name, msgspec.json.decode(defaults), created_ms, updated_ms)
