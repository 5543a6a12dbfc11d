"""Tenants and API keys in `control.db`."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import and_, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.backends.sqlite.control_run import Row, Runner, Transaction
from clarion.backends.sqlite.control_tables import API_KEYS, TENANTS
from clarion.domain.api_key import KEY_ID_BYTES, SECRET_BYTES, key_digest, key_of
from clarion.domain.errors import NotFound
from clarion.ports.clock import Clock
from clarion.ports.control import KeyRecord, TenantRecord
from clarion.ports.directory import OPERATOR_LEVEL

_KEY_COLUMNS: Final = [API_KEYS.c[name] for name in KeyRecord.__struct_fields__]
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
        """Return a tenant."""
        query = select(*_TENANT_COLUMNS).where(TENANTS.c.tenant == tenant)
        row = await self._runner.run(lambda tx: tx.row(query))
        return _tenant(row) if row else None

    async def page(self, after: str, limit: int) -> list[TenantRecord]:
        """Return tenants in the order of their ids."""
        query = select(*_TENANT_COLUMNS).where(TENANTS.c.tenant > after).order_by(TENANTS.c.tenant).limit(limit)
        return [_tenant(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

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


class SqliteKeys:
    """API keys, of which only a hash is kept."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def create(
        self, tenant: str, name: str, scopes: Sequence[str], expires_ms: int | None = None
    ) -> tuple[KeyRecord, str]:
        """Make a key and return it with its secret, which nobody can read again."""
        key_id = self._clock.entropy(KEY_ID_BYTES).hex()
        secret = key_of(key_id, self._clock.entropy(SECRET_BYTES))
        record = KeyRecord(key_id, tenant, name, tuple(sorted(set(scopes))), self._clock.now_ms(), expires_ms)
        row = msgspec.structs.asdict(record) | {
            "scopes": msgspec.json.encode(record.scopes).decode(),
            "digest": key_digest(secret),
        }
        await self._runner.run(lambda tx: tx.define(OPERATOR_LEVEL, insert(API_KEYS).values(**row)))
        return record, secret

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        query = (
            select(*_KEY_COLUMNS)
            .where(API_KEYS.c.tenant == tenant, API_KEYS.c.key_id > after)
            .order_by(API_KEYS.c.key_id)
            .limit(limit)
        )
        return [_key(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key for good; return whether there was such a key."""
        mine = and_(API_KEYS.c.tenant == tenant, API_KEYS.c.key_id == key_id)
        write = update(API_KEYS).where(mine, API_KEYS.c.revoked_ms.is_(None)).values(revoked_ms=self._clock.now_ms())

        def work(tx: Transaction) -> bool:
            tx.define(OPERATOR_LEVEL, write)
            return tx.row(select(API_KEYS.c.key_id).where(mine)) is not None

        return await self._runner.run(work)


def _tenant(row: Row) -> TenantRecord:
    tenant, name, defaults, created_ms, updated_ms = row
    return TenantRecord(tenant, name, msgspec.json.decode(defaults), created_ms, updated_ms)


def _key(row: Row) -> KeyRecord:
    key_id, tenant, name, scopes, *times = row
    return KeyRecord(key_id, tenant, name, tuple(msgspec.json.decode(scopes)), *times)
