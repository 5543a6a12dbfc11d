"""Provider accounts, with their credentials sealed, and suppressions on PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

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
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.pool import columns

_SELECT: Final = f"SELECT {', '.join(ProviderRecord.__struct_fields__)} FROM providers WHERE tenant = $1"  # noqa: S608 - constants
_GET: Final = f"{_SELECT} AND name = $2"
_PAGE: Final = f"{_SELECT} AND name > $2 ORDER BY name LIMIT $3"
_REMOVE: Final = "DELETE FROM providers WHERE tenant = $1 AND name = $2"
# $13 is whether other credentials are given.
_PUT: Final = """
INSERT INTO providers AS kept (
    tenant, name, channel, vendor, priority, enabled, settings, rules, updated_ms, credential_names,
    credential_references, sealed, version, created_ms
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $9)
ON CONFLICT (tenant, name) DO UPDATE SET
    channel = excluded.channel, vendor = excluded.vendor, priority = excluded.priority, enabled = excluded.enabled,
    settings = excluded.settings, rules = excluded.rules, updated_ms = excluded.updated_ms, version = kept.version + 1,
    credential_names = CASE WHEN $13 THEN excluded.credential_names ELSE kept.credential_names END,
    credential_references = CASE WHEN $13 THEN excluded.credential_references ELSE kept.credential_references END,
    sealed = CASE WHEN $13 THEN excluded.sealed ELSE kept.sealed END
"""
_SUPPRESS: Final = """
INSERT INTO suppressions AS kept (tenant, channel, address, reason, created_ms, expires_ms)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
ON CONFLICT (tenant, channel, address) DO UPDATE
SET reason = excluded.reason, created_ms = excluded.created_ms, expires_ms = excluded.expires_ms
"""
# An expired suppression counts as none; the new one's `created_ms` is the current time.
_LEARN: Final = f"""{_SUPPRESS} WHERE kept.expires_ms IS NOT NULL AND (
    excluded.expires_ms IS NULL OR kept.expires_ms <= greatest(excluded.created_ms, excluded.expires_ms))"""
_LIFT: Final = """
DELETE FROM suppressions WHERE tenant = $1 AND channel = $2 AND address = $3 AND reason = $4 AND created_ms <= $5
"""
_LIST: Final = """
SELECT channel, address, reason, created_ms, expires_ms FROM suppressions
WHERE tenant = $1 AND (channel, address) > ($2, $3) AND ($4::text IS NULL OR channel = $4)
    AND ($5::text[] IS NULL OR address = ANY($5)) ORDER BY channel, address LIMIT $6
"""
_UNSUPPRESS: Final = "DELETE FROM suppressions WHERE tenant = $1 AND channel = $2 AND address = $3"


class PostgresProviders:
    """The provider accounts of a tenant."""

    def __init__(self, runner: Runner, clock: Clock, vault: Vault) -> None:
        self._runner = runner
        self._clock = clock
        self._vault = vault

    async def put(self, tenant: str, provider: ProviderWrite) -> ProviderRecord:
        """Create or replace an account, and return it with its new version, which is one higher. Raises `Conflict` when
        credentials are kept and the account is not the one they are kept of."""
        credentials = provider.credentials or {}
        values = (
            provider.channel.value, provider.vendor, provider.priority, provider.enabled,
            msgspec.json.encode(provider.settings).decode(), msgspec.json.encode(provider.rules).decode(),
            self._clock.now_ms(), msgspec.json.encode(sorted(credentials)).decode(),
            msgspec.json.encode(references_in(credentials), order="sorted").decode(),
            seal_credentials(self._vault, tenant, provider.name, credentials), provider.credentials is not None,
        )  # fmt: skip

        async def work(tx: Transaction) -> ProviderRecord:
            before = await tx.row(_GET, tenant, provider.name)
            check_kept(provider, read_record(before) if before else None)
            await tx.define(tenant, _PUT, tenant, provider.name, *values)
            return read_record(await tx.row(_GET, tenant, provider.name))

        return await self._runner.run(tenant, work, locked=tenant)

    async def get(self, tenant: str, name: str) -> ProviderRecord | None:
        """Return an account, or None when there is none."""
        row = await self._runner.row(tenant, _GET, tenant, name)
        return read_record(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[ProviderRecord]:
        """Return accounts in the order of their names."""
        return [read_record(row) for row in await self._runner.rows(tenant, _PAGE, tenant, after, limit)]

    async def remove(self, tenant: str, name: str) -> bool:
        """Remove an account and its credentials; return whether there was one."""
        return await self._runner.run(tenant, lambda tx: tx.define(tenant, _REMOVE, tenant, name), locked=tenant) > 0


class PostgresSuppressions:
    """The suppressed addresses of a tenant."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def add(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions in one transaction; existing ones are replaced."""
        await self._store(_SUPPRESS, tenant, suppressions)

    async def add_missing(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions of addresses that are not suppressed yet, or that are for a shorter time. A permanent
        suppression stays unchanged."""
        await self._store(_LEARN, tenant, suppressions)

    async def lift(self, tenant: str, channel: str, address: str, reason: str, asked_ms: int) -> bool:
        """Lift a suppression if it has this reason and was not made after `asked_ms`. Return whether one was lifted."""
        values = (tenant, channel, suppression_key(channel, address), reason, asked_ms)
        return await self._runner.run(tenant, lambda tx: tx.change(_LIFT, *values)) > 0

    async def page(
        self, tenant: str, channel: str | None, address: str | None, after: tuple[str, str], limit: int
    ) -> list[Suppression]:
        """Return filtered suppressions after a (channel, address), in the order of (channel, address)."""
        either = None if address is None else [address, address.lower()]
        rows = await self._runner.rows(tenant, _LIST, tenant, *after, channel, either, limit)
        return [Suppression(Channel(name), *rest) for name, *rest in rows]

    async def remove(self, tenant: str, channel: str, address: str) -> bool:
        """Lift a suppression; return whether there was one."""
        values = (tenant, channel, suppression_key(channel, address))
        return await self._runner.run(tenant, lambda tx: tx.change(_UNSUPPRESS, *values)) > 0

    async def _store(self, statement: str, tenant: str, suppressions: Sequence[Suppression]) -> None:
        async def work(tx: Transaction) -> None:
            for rows in _rounds(suppressions):
                await tx.change(statement, tenant, *columns(rows, 5))

        await self._runner.run(tenant, work)


def _rounds(suppressions: Sequence[Suppression]) -> list[list[tuple[Any, ...]]]:
    """Return rows for as many statements as an address occurs: one statement stores an address once. The rows of each are
    in the order of their keys, so that two transactions do not wait for each other."""
    rounds: list[dict[tuple[str, str], tuple[Any, ...]]] = []
    for entry in suppressions:
        place = (entry.channel.value, suppression_key(entry.channel, entry.address))
        row = (*place, entry.reason, entry.created_ms, entry.expires_ms)
        for one in rounds:
            if place not in one:
                one[place] = row
                break
        else:
            rounds.append({place: row})
    return [[one[place] for place in sorted(one)] for one in rounds]
