"""Quotas of tenants and keys in `control.db`."""

from typing import Final

import msgspec
from sqlalchemy import Select, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain.errors import NotFound
from clarion.domain.quota import TENANT, Quota
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import API_KEYS, QUOTAS, TENANTS

_UNLIMITED: Final = Quota()


class SqliteQuotaSettings:
    """The quotas of tenants and of single API keys; a tenant's own quota has an empty key id."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota; a quota without any limit removes it. Raises `NotFound` when there is no such tenant or
        key."""
        text = msgspec.json.encode(quota).decode()
        own = (QUOTAS.c.tenant == tenant, QUOTAS.c.key_id == key_id)
        write = upsert(QUOTAS).values(tenant=tenant, key_id=key_id, quota=text)
        write = write.on_conflict_do_update(index_elements=["tenant", "key_id"], set_={"quota": text})

        def work(tx: Transaction) -> None:
            _check_owner(tx, tenant, key_id)
            tx.define(tenant, delete(QUOTAS).where(*own) if quota == _UNLIMITED else write)

        await self._runner.run(work)

    async def get(self, tenant: str, key_id: str) -> Quota:
        """Return a quota. Raises `NotFound` when there is no such tenant or key."""
        query = select(QUOTAS.c.quota).where(QUOTAS.c.tenant == tenant, QUOTAS.c.key_id == key_id)

        def work(tx: Transaction) -> Row | None:
            _check_owner(tx, tenant, key_id)
            return tx.row(query)

        row = self._runner.read(work)
        return _UNLIMITED if row is None else msgspec.json.decode(row[0], type=Quota)


def _check_owner(tx: Transaction, tenant: str, key_id: str) -> None:
    query: Select[tuple[str]]
    if key_id == TENANT:
        query, what = select(TENANTS.c.tenant).where(TENANTS.c.tenant == tenant), "tenant"
    else:
        query, what = select(API_KEYS.c.key_id).where(API_KEYS.c.tenant == tenant, API_KEYS.c.key_id == key_id), "key"
    if tx.row(query) is None:
        raise NotFound(f"no such {what}")
