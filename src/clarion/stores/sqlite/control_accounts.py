"""Provider accounts, with their credentials sealed, and suppressions in `control.db`."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain.address import suppression_key
from clarion.domain.channel import Channel
from clarion.domain.secret_reference import references_in
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import (
    ProviderRecord,
    ProviderWrite,
    Suppression,
    check_kept,
    read_record,
    seal_credentials,
)
from clarion.ports.secrets import Vault
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import PROVIDERS, SUPPRESSIONS

_PROVIDER: Final = [PROVIDERS.c[name] for name in ProviderRecord.__struct_fields__]
_SUPPRESSION: Final = [SUPPRESSIONS.c[name] for name in Suppression.__struct_fields__]
# The last value is the current time: an expired suppression counts as none.
_LEARN: Final = """INSERT INTO suppressions VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
    SET reason = excluded.reason, created_ms = excluded.created_ms, expires_ms = excluded.expires_ms
    WHERE suppressions.expires_ms IS NOT NULL
    AND (excluded.expires_ms IS NULL OR suppressions.expires_ms <= max(?7, excluded.expires_ms))"""


class SqliteProviders:
    """The provider accounts of a tenant."""

    def __init__(self, runner: Runner, clock: Clock, vault: Vault) -> None:
        self._runner = runner
        self._clock = clock
        self._vault = vault

    async def put(self, tenant: str, provider: ProviderWrite) -> ProviderRecord:
        """Create or replace an account, and return it with its new version, which is one higher. Raises `Conflict` when
        credentials are kept and the account is not the one they are kept of."""
        now = self._clock.now_ms()
        values = {
            "channel": provider.channel.value,
            "vendor": provider.vendor,
            "priority": provider.priority,
            "enabled": int(provider.enabled),
            "settings": msgspec.json.encode(provider.settings).decode(),
            "updated_ms": now,
            "rules": msgspec.json.encode(provider.rules).decode(),
        }
        secret = self._sealed(tenant, provider.name, provider.credentials or {})
        write = upsert(PROVIDERS).values(
            tenant=tenant, name=provider.name, version=1, created_ms=now, **values, **secret
        )
        replaced = values if provider.credentials is None else values | secret
        write = write.on_conflict_do_update(
            index_elements=["tenant", "name"], set_={**replaced, "version": PROVIDERS.c.version + 1}
        )

        query = select(*_PROVIDER).where(_named(tenant, provider.name))

        def work(tx: Transaction) -> ProviderRecord:
            before = tx.row(query)
            check_kept(provider, _provider(before) if before else None)
            tx.define(tenant, write)
            return _provider(tx.row(query) or ())

        return await self._runner.run(work)

    async def get(self, tenant: str, name: str) -> ProviderRecord | None:
        """Return an account, or None when there is none."""
        row = self._runner.read(lambda tx: tx.row(select(*_PROVIDER).where(_named(tenant, name))))
        return _provider(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[ProviderRecord]:
        """Return accounts in the order of their names."""
        query = (
            select(*_PROVIDER)
            .where(PROVIDERS.c.tenant == tenant, PROVIDERS.c.name > after)
            .order_by(PROVIDERS.c.name)
            .limit(limit)
        )
        return [_provider(row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def remove(self, tenant: str, name: str) -> bool:
        """Remove an account and its credentials; return whether there was one."""
        return await self._runner.run(lambda tx: tx.define(tenant, delete(PROVIDERS).where(_named(tenant, name)))) > 0

    def _sealed(self, tenant: str, name: str, credentials: dict[str, Any]) -> dict[str, Any]:
        return {
            "credential_names": msgspec.json.encode(sorted(credentials)).decode(),
            "credential_references": msgspec.json.encode(references_in(credentials), order="sorted").decode(),
            "sealed": seal_credentials(self._vault, tenant, name, credentials),
        }


class SqliteSuppressions:
    """The suppressed addresses of a tenant."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def add(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions in one transaction; existing ones are replaced."""
        rows = [
            (tenant, entry.channel.value, suppression_key(entry.channel, entry.address), entry.reason,
             entry.created_ms, entry.expires_ms)
            for entry in suppressions
        ]  # fmt: skip
        await self._runner.run(
            lambda tx: tx.many("INSERT OR REPLACE INTO suppressions VALUES (?, ?, ?, ?, ?, ?)", rows)
        )

    async def add_missing(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions of addresses that are not suppressed yet, or that are for a shorter time. A permanent
        suppression stays unchanged."""
        rows = [
            (tenant, entry.channel.value, suppression_key(entry.channel, entry.address), entry.reason,
             entry.created_ms, entry.expires_ms, entry.created_ms)
            for entry in suppressions
        ]  # fmt: skip
        await self._runner.run(lambda tx: tx.many(_LEARN, rows))

    async def lift(self, tenant: str, channel: str, address: str, reason: str, asked_ms: int) -> bool:
        """Lift a suppression if it has this reason and was not made after `asked_ms`. Return whether one was lifted."""
        write = delete(SUPPRESSIONS).where(
            SUPPRESSIONS.c.tenant == tenant,
            SUPPRESSIONS.c.channel == channel,
            SUPPRESSIONS.c.address == suppression_key(channel, address),
            SUPPRESSIONS.c.reason == reason,
            SUPPRESSIONS.c.created_ms <= asked_ms,
        )
        return await self._runner.run(lambda tx: tx.change(write)) > 0

    async def page(
        self, tenant: str, channel: str | None, address: str | None, after: tuple[str, str], limit: int
    ) -> list[Suppression]:
        """Return filtered suppressions after a (channel, address), in the order of (channel, address)."""
        place = tuple_(SUPPRESSIONS.c.channel, SUPPRESSIONS.c.address)
        query = select(*_SUPPRESSION).where(SUPPRESSIONS.c.tenant == tenant, place > tuple_(*after))
        if channel is not None:
            query = query.where(SUPPRESSIONS.c.channel == channel)
        if address is not None:
            query = query.where(SUPPRESSIONS.c.address.in_([address, address.lower()]))
        query = query.order_by(SUPPRESSIONS.c.channel, SUPPRESSIONS.c.address).limit(limit)
        return [
            Suppression(Channel(row[0]), *row[1:]) for row in self._runner.read(lambda tx: tx.rows(query))
        ]  # fmt: skip

    async def remove(self, tenant: str, channel: str, address: str) -> bool:
        """Lift a suppression; return whether there was one."""
        write = delete(SUPPRESSIONS).where(
            SUPPRESSIONS.c.tenant == tenant,
            SUPPRESSIONS.c.channel == channel,
            SUPPRESSIONS.c.address == suppression_key(channel, address),
        )
        return await self._runner.run(lambda tx: tx.change(write)) > 0


def _named(tenant: str, name: str) -> ColumnElement[bool]:
    return and_(PROVIDERS.c.tenant == tenant, PROVIDERS.c.name == name)


def _provider(row: Row) -> ProviderRecord:
    return read_record(dict(zip(ProviderRecord.__struct_fields__, row, strict=True)))
