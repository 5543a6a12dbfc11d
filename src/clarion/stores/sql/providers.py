"""Provider accounts, with their credentials sealed."""

from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, select

from clarion.domain.secret_reference import references_in
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import ProviderRecord, ProviderWrite, check_kept, read_record, seal_credentials
from clarion.ports.secrets import Vault
from clarion.stores.sql.engine import Engine, Row, Transaction, define, first
from clarion.stores.sql.statement import Statement, page_after, upsert
from clarion.stores.sql.tables import PROVIDERS

_P: Final = PROVIDERS.c
_COLUMNS: Final = tuple(_P[name] for name in ProviderRecord.__struct_fields__)
_OWN: Final = (_P.tenant == bindparam("tenant"), _P.name == bindparam("name"))
_GET: Final = Statement(select(*_COLUMNS).where(*_OWN))
_PAGE: Final = Statement(page_after(select(*_COLUMNS), _P.name))
_REMOVE: Final = Statement(delete(PROVIDERS).where(*_OWN))
_KEPT: Final = {
    **{
        name: bindparam(name)
        for name in ["channel", "vendor", "priority", "enabled", "settings", "updated_ms", "rules"]
    },
    "version": _P.version + 1,
}
_SECRET: Final[dict[str, Any]] = {
    name: bindparam(name) for name in ("credential_names", "credential_references", "sealed")
}
_PUT: Final = Statement(upsert(PROVIDERS, "tenant name", _KEPT | _SECRET, version=1))
_PUT_KEEPING: Final = Statement(upsert(PROVIDERS, "tenant name", _KEPT, version=1))


class SqlProviders:
    """Implements `ports.control_accounts.Providers`."""

    def __init__(self, engine: Engine, clock: Clock, vault: Vault) -> None:
        self._engine = engine
        self._clock = clock
        self._vault = vault

    async def put(self, tenant: str, provider: ProviderWrite) -> ProviderRecord:
        """Create or replace an account."""
        values = self._row(tenant, provider)
        own = {"tenant": tenant, "name": provider.name}

        async def work(tx: Transaction) -> ProviderRecord:
            before = await first(tx.rows(_GET, **own))
            check_kept(provider, None if before is None else _provider(before))
            await define(tx, tenant, _PUT_KEEPING if provider.credentials is None else _PUT, **own, **values)
            return _provider((await tx.rows(_GET, **own))[0])

        return await self._engine.run(tenant, work, locked=tenant)

    async def get(self, tenant: str, name: str) -> ProviderRecord | None:
        """Return an account."""
        row = await first(self._engine.read(tenant, _GET, tenant=tenant, name=name))
        return None if row is None else _provider(row)

    async def page(self, tenant: str, after: str, limit: int) -> list[ProviderRecord]:
        """Return accounts in the order of their names."""
        rows = await self._engine.read(tenant, _PAGE, tenant=tenant, after=after, limit=limit)
        return [_provider(row) for row in rows]

    async def remove(self, tenant: str, name: str) -> bool:
        """Remove an account and its credentials; return whether there was one."""
        own = {"tenant": tenant, "name": name}
        return await self._engine.run(tenant, lambda tx: define(tx, tenant, _REMOVE, **own), locked=tenant) > 0

    def _row(self, tenant: str, provider: ProviderWrite) -> dict[str, Any]:
        credentials, now_ms = provider.credentials or {}, self._clock.now_ms()
        return {
            "channel": provider.channel.value,
            "vendor": provider.vendor,
            "priority": provider.priority,
            "enabled": provider.enabled,
            "settings": msgspec.json.encode(provider.settings).decode(),
            "rules": msgspec.json.encode(provider.rules).decode(),
            "created_ms": now_ms,
            "updated_ms": now_ms,
            "credential_names": msgspec.json.encode(sorted(credentials)).decode(),
            "credential_references": msgspec.json.encode(references_in(credentials), order="sorted").decode(),
            "sealed": seal_credentials(self._vault, tenant, provider.name, credentials),
        }


def _provider(row: Row) -> ProviderRecord:
    return read_record(dict(zip(ProviderRecord.__struct_fields__, row, strict=True)))
