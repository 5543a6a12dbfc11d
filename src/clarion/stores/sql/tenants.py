"""Tenants and the keys of their user tokens."""

from typing import Final

import msgspec
from sqlalchemy import Integer, bindparam, func, select, update

from clarion.domain.errors import NotFound
from clarion.domain.token_key import TokenKey
from clarion.ports.clock import Clock
from clarion.ports.control import TenantRecord
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.sql.engine import NO_TENANT, Engine, Row, Transaction, define, first
from clarion.stores.sql.statement import Statement, upsert
from clarion.stores.sql.tables import TENANTS, TOKEN_KEYS

_T: Final = TENANTS.c
_COLUMNS: Final = tuple(_T[name] for name in TenantRecord.__struct_fields__)
_LIMIT: Final = bindparam("limit", type_=Integer)
_GET: Final = Statement(select(*_COLUMNS).where(_T.tenant == bindparam("tenant")))
# No role but the owner reads across tenants; a function of the schema does.
_ALL: Final = func.tenants_page(bindparam("after"), _LIMIT).table_valued(*TenantRecord.__struct_fields__, name="page")
_PAGE: Final = Statement(
    select(*_COLUMNS).where(_T.tenant > bindparam("after")).order_by(_T.tenant).limit(_LIMIT),
    postgresql=select(*_ALL.c),
)
_PUT: Final = Statement(
    upsert(TENANTS, "tenant", {"name": bindparam("name"), "updated_ms": bindparam("updated_ms")}, defaults="{}")
)
_DEFAULTS: Final = Statement(
    update(TENANTS)
    .where(_T.tenant == bindparam("tenant"))
    .values(defaults=bindparam("defaults"), updated_ms=bindparam("updated_ms"))
)
_K: Final = TOKEN_KEYS.c
_TOKEN_KEY: Final = Statement(select(_K.generation, _K.previous_until_ms).where(_K.tenant == bindparam("tenant")))
_NEXT: Final = {"generation": _K.generation + 1, "previous_until_ms": bindparam("previous_until_ms")}
_ROTATE: Final = Statement(upsert(TOKEN_KEYS, "tenant", _NEXT, generation=1))


class SqlTenants:
    """Implements `ports.control.Tenants`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def put(self, tenant: str, name: str) -> TenantRecord:
        """Create a tenant or rename it."""
        now_ms = self._clock.now_ms()

        async def work(tx: Transaction) -> TenantRecord:
            await define(tx, OPERATOR_LEVEL, _PUT, tenant=tenant, name=name, created_ms=now_ms, updated_ms=now_ms)
            return _tenant((await tx.rows(_GET, tenant=tenant))[0])

        return await self._engine.run(tenant, work)

    async def get(self, tenant: str) -> TenantRecord | None:
        """Return a tenant."""
        row = await first(self._engine.read(tenant, _GET, tenant=tenant))
        return None if row is None else _tenant(row)

    async def page(self, after: str, limit: int) -> list[TenantRecord]:
        """Return tenants in the order of their ids."""
        return [_tenant(row) for row in await self._engine.read(NO_TENANT, _PAGE, after=after, limit=limit)]

    async def set_defaults(self, tenant: str, defaults: dict[str, dict[str, bool]]) -> None:
        """Replace the default preferences of a tenant."""
        text = msgspec.json.encode(defaults, order="sorted").decode()
        values = {"tenant": tenant, "defaults": text, "updated_ms": self._clock.now_ms()}
        if not await self._engine.run(tenant, lambda tx: define(tx, tenant, _DEFAULTS, **values)):
            raise NotFound("no such tenant")

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that user tokens are signed with."""
        return TokenKey(*(await first(self._engine.read(tenant, _TOKEN_KEY, tenant=tenant)) or ()))

    async def rotate_token_key(self, tenant: str, overlap_ms: int) -> TokenKey:
        """Begin another key for user tokens."""
        until_ms = self._clock.now_ms() + overlap_ms

        async def work(tx: Transaction) -> TokenKey:
            await define(tx, tenant, _ROTATE, tenant=tenant, previous_until_ms=until_ms)
            return TokenKey(*(await tx.rows(_TOKEN_KEY, tenant=tenant))[0])

        return await self._engine.run(tenant, work)


def _tenant(row: Row) -> TenantRecord:
    tenant, name, defaults, created_ms, updated_ms = row
    return TenantRecord(tenant, name, msgspec.json.decode(defaults), created_ms, updated_ms)
