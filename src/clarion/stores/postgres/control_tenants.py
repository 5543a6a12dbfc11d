"""Tenants on PostgreSQL."""

from typing import Any, Final

import msgspec

from clarion.domain.errors import NotFound
from clarion.domain.token_key import TokenKey
from clarion.ports.clock import Clock
from clarion.ports.control import TenantRecord
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.tenancy import NO_TENANT

_COLUMNS: Final = "tenant, name, defaults, created_ms, updated_ms"
_GET: Final = f"SELECT {_COLUMNS} FROM tenants WHERE tenant = $1"  # noqa: S608 - constants
_PAGE: Final = f"SELECT {_COLUMNS} FROM tenants_page($1, $2)"  # noqa: S608 - constants
_PUT: Final = """
INSERT INTO tenants (tenant, name, defaults, created_ms, updated_ms) VALUES ($1, $2, '{}', $3, $3)
ON CONFLICT (tenant) DO UPDATE SET name = excluded.name, updated_ms = excluded.updated_ms
"""
_DEFAULTS: Final = "UPDATE tenants SET defaults = $2, updated_ms = $3 WHERE tenant = $1"
_TOKEN_KEY: Final = "SELECT generation, previous_until_ms FROM token_keys WHERE tenant = $1"  # noqa: S105 - a query
_ROTATE: Final = """
INSERT INTO token_keys (tenant, generation, previous_until_ms) VALUES ($1, 1, $2)
ON CONFLICT (tenant) DO UPDATE
SET generation = token_keys.generation + 1, previous_until_ms = excluded.previous_until_ms
"""


class PostgresTenants:
    """The tenants of the installation."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, name: str) -> TenantRecord:
        """Create a tenant or rename it."""
        now_ms = self._clock.now_ms()

        async def work(tx: Transaction) -> TenantRecord:
            await tx.define(OPERATOR_LEVEL, _PUT, tenant, name, now_ms)
            return _tenant(await tx.row(_GET, tenant))

        return await self._runner.run(tenant, work)

    async def get(self, tenant: str) -> TenantRecord | None:
        """Return a tenant, or None when there is none."""
        row = await self._runner.row(tenant, _GET, tenant)
        return _tenant(row) if row else None

    async def page(self, after: str, limit: int) -> list[TenantRecord]:
        """Return tenants in the order of their ids."""
        return [_tenant(row) for row in await self._runner.rows(NO_TENANT, _PAGE, after, limit)]

    async def set_defaults(self, tenant: str, defaults: dict[str, dict[str, bool]]) -> None:
        """Replace the default preferences of a tenant. Raises `NotFound`."""
        text = msgspec.json.encode(defaults, order="sorted").decode()
        now_ms = self._clock.now_ms()
        if not await self._runner.run(tenant, lambda tx: tx.define(tenant, _DEFAULTS, tenant, text, now_ms)):
            raise NotFound("no such tenant")

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that user tokens are signed with."""
        row = await self._runner.row(tenant, _TOKEN_KEY, tenant)
        return TokenKey() if row is None else TokenKey(*row)

    async def rotate_token_key(self, tenant: str, overlap_ms: int) -> TokenKey:
        """Begin another key for user tokens; those of the one before are valid until the overlap ends."""
        until_ms = self._clock.now_ms() + overlap_ms

        async def work(tx: Transaction) -> TokenKey:
            await tx.define(tenant, _ROTATE, tenant, until_ms)
            return TokenKey(*await tx.row(_TOKEN_KEY, tenant))

        return await self._runner.run(tenant, work)


def _tenant(row: Any) -> TenantRecord:
    tenant, name, defaults, created_ms, updated_ms = row
    return TenantRecord(tenant, name, msgspec.json.decode(defaults), created_ms, updated_ms)
