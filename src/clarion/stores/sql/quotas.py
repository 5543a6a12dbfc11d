"""Quotas of tenants and keys."""

from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, select

from clarion.domain.errors import NotFound
from clarion.domain.quota import TENANT, Quota
from clarion.stores.sql.engine import Engine, Row, Transaction, define, first
from clarion.stores.sql.statement import Statement, upsert
from clarion.stores.sql.tables import API_KEYS, QUOTAS, TENANTS

_Q: Final = QUOTAS.c
_OWN: Final = (_Q.tenant == bindparam("tenant"), _Q.key_id == bindparam("key_id"))
_PUT: Final = Statement(upsert(QUOTAS, "tenant key_id", {"quota": bindparam("quota")}))
_REMOVE: Final = Statement(delete(QUOTAS).where(*_OWN))
# A row for the owner, with its quota if it has one.
_OF_TENANT: Final = Statement(
    select(_Q.quota)
    .select_from(TENANTS.outerjoin(QUOTAS, (_Q.tenant == TENANTS.c.tenant) & (_Q.key_id == bindparam("key_id"))))
    .where(TENANTS.c.tenant == bindparam("tenant"))
)
_OF_KEY: Final = Statement(
    select(_Q.quota)
    .select_from(API_KEYS.outerjoin(QUOTAS, (_Q.tenant == API_KEYS.c.tenant) & (_Q.key_id == API_KEYS.c.key_id)))
    .where(API_KEYS.c.tenant == bindparam("tenant"), API_KEYS.c.key_id == bindparam("key_id"))
)
_UNLIMITED: Final = Quota()


class SqlQuotaSettings:
    """Implements `ports.control.QuotaSettings`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota."""
        text = msgspec.json.encode(quota).decode()

        async def work(tx: Transaction) -> None:
            _stored(await first(tx.rows(_owner(key_id), tenant=tenant, key_id=key_id)), key_id)
            if quota == _UNLIMITED:
                await define(tx, tenant, _REMOVE, tenant=tenant, key_id=key_id)
            else:
                await define(tx, tenant, _PUT, tenant=tenant, key_id=key_id, quota=text)

        await self._engine.run(tenant, work)

    async def get(self, tenant: str, key_id: str) -> Quota:
        """Return a quota."""
        row = await first(self._engine.read(tenant, _owner(key_id), tenant=tenant, key_id=key_id))
        text = _stored(row, key_id)
        return _UNLIMITED if text is None else msgspec.json.decode(text, type=Quota)


def _owner(key_id: str) -> Statement:
    return _OF_TENANT if key_id == TENANT else _OF_KEY


def _stored(row: Row | None, key_id: str) -> str | None:
    if row is None:
        raise NotFound("no such tenant" if key_id == TENANT else "no such key")
    text: str | None = row[0]
    return text
