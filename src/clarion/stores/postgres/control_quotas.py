"""Quotas of tenants and keys on PostgreSQL."""

from typing import Final

import msgspec

from clarion.domain.errors import NotFound
from clarion.domain.quota import TENANT, Quota
from clarion.stores.postgres.control_run import Runner, Transaction

_UNLIMITED: Final = Quota()
_PUT: Final = """
INSERT INTO quotas (tenant, key_id, quota) VALUES ($1, $2, $3)
ON CONFLICT (tenant, key_id) DO UPDATE SET quota = excluded.quota
"""
_REMOVE: Final = "DELETE FROM quotas WHERE tenant = $1 AND key_id = $2"
_GET: Final = "SELECT quota FROM quotas WHERE tenant = $1 AND key_id = $2"
_HAS_TENANT: Final = "SELECT 1 FROM tenants WHERE tenant = $1"
_HAS_KEY: Final = "SELECT 1 FROM api_keys WHERE tenant = $1 AND key_id = $2"


class PostgresQuotaSettings:
    """The quotas of tenants and of single API keys; a tenant's own quota has an empty key id."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota; a quota without any limit removes it. Raises `NotFound` when there is no such tenant or
        key."""
        text = msgspec.json.encode(quota).decode()

        async def work(tx: Transaction) -> None:
            await _check_owner(tx, tenant, key_id)
            if quota == _UNLIMITED:
                await tx.define(tenant, _REMOVE, tenant, key_id)
            else:
                await tx.define(tenant, _PUT, tenant, key_id, text)

        await self._runner.run(tenant, work)

    async def get(self, tenant: str, key_id: str) -> Quota:
        """Return a quota. Raises `NotFound` when there is no such tenant or key."""

        async def work(tx: Transaction) -> str | None:
            await _check_owner(tx, tenant, key_id)
            text: str | None = await tx.value(_GET, tenant, key_id)
            return text

        text = await self._runner.run(tenant, work)
        return _UNLIMITED if text is None else msgspec.json.decode(text, type=Quota)


async def _check_owner(tx: Transaction, tenant: str, key_id: str) -> None:
    is_own = key_id == TENANT
    found = await (tx.row(_HAS_TENANT, tenant) if is_own else tx.row(_HAS_KEY, tenant, key_id))
    if found is None:
        raise NotFound("no such tenant" if is_own else "no such key")
