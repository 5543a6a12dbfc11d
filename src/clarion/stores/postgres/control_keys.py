"""API keys on PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.api_key import key_digest
from clarion.domain.errors import NotFound
from clarion.domain.limits_processes import KEY_NETWORKS_KEPT_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_keys import KeyRecord, KeyUse, new_key, new_secret, successor
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.tenancy import NO_TENANT

_COLUMNS: Final = ", ".join(KeyRecord.__struct_fields__)
_SELECT: Final = f"SELECT {_COLUMNS} FROM api_keys WHERE "  # noqa: S608 - constants
_GET: Final = f"{_SELECT} tenant = $1 AND key_id = $2"
_PAGE: Final = f"{_SELECT} tenant = $1 AND key_id > $2 ORDER BY key_id LIMIT $3"
_INSERT: Final = """
INSERT INTO api_keys (key_id, tenant, name, digest, scopes, created_ms, expires_ms, networks, replaces)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_END: Final = "UPDATE api_keys SET expires_ms = $3, replaced_by = $4 WHERE tenant = $1 AND key_id = $2"
_COPY_QUOTA: Final = """
INSERT INTO quotas (tenant, key_id, quota) SELECT tenant, $3, quota FROM quotas WHERE tenant = $1 AND key_id = $2
"""
_NETWORKS: Final = "UPDATE api_keys SET networks = $3 WHERE tenant = $1 AND key_id = $2"
_REVOKE: Final = "UPDATE api_keys SET revoked_ms = $3 WHERE tenant = $1 AND key_id = $2 AND revoked_ms IS NULL"
_EXISTS: Final = "SELECT 1 FROM api_keys WHERE tenant = $1 AND key_id = $2"
# The update locks the key's row, so that two processes do not both store a network as its first use.
_USED: Final = """
UPDATE api_keys SET
    last_used_from = CASE WHEN last_used_ms > $3 THEN last_used_from ELSE $4 END,
    last_used_ms = greatest(last_used_ms, $3)
WHERE tenant = $1 AND key_id = $2
"""
_USED_FROM: Final = """
INSERT INTO key_networks AS kept (tenant, key_id, network, last_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, key_id, network) DO UPDATE SET last_ms = greatest(kept.last_ms, excluded.last_ms)
"""
_KNOWN: Final = "SELECT 1 FROM key_networks WHERE tenant = $1 AND key_id = $2 AND network = $3"
_FORGET: Final = """
DELETE FROM key_networks WHERE tenant = $1 AND key_id = $2 AND network IN (
    SELECT network FROM key_networks WHERE tenant = $1 AND key_id = $2 ORDER BY last_ms DESC, network OFFSET $3)
"""
_USES: Final = """
SELECT network, last_ms FROM key_networks WHERE tenant = $1 AND key_id = $2 ORDER BY last_ms DESC, network
"""
_EXPIRING: Final = f"SELECT {_COLUMNS} FROM keys_expiring($1, $2, $3, $4)"  # noqa: S608 - constants


class PostgresKeys:
    """API keys, of which only a hash is stored."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def create(
        self,
        tenant: str,
        name: str,
        scopes: Sequence[str],
        expires_ms: int | None = None,
        networks: Sequence[str] = (),
    ) -> tuple[KeyRecord, str]:
        """Create a key and return it with its secret, which cannot be read again."""
        record, secret = new_key(self._clock, tenant, name, scopes, expires_ms, networks)
        await self._runner.run(tenant, lambda tx: _insert(tx, record, secret))
        return record, secret

    async def get(self, tenant: str, key_id: str) -> KeyRecord | None:
        """Return a key, even a revoked one."""
        row = await self._runner.row(tenant, _GET, tenant, key_id)
        return _key(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        return [_key(row) for row in await self._runner.rows(tenant, _PAGE, tenant, after, limit)]

    async def rotate(self, tenant: str, key_id: str, overlap_ms: int) -> tuple[KeyRecord, str]:
        """Create the successor of a key, with its quota, and end the key after the overlap. Raises `NotFound` and
        `Conflict`."""
        new_id, secret = new_secret(self._clock)

        async def work(tx: Transaction) -> KeyRecord:
            row = await tx.row(f"{_GET} FOR UPDATE", tenant, key_id)
            if row is None:
                raise NotFound("no such key")
            ended, after = successor(_key(row), new_id, self._clock.now_ms(), overlap_ms)
            await tx.define(OPERATOR_LEVEL, _END, tenant, key_id, ended.expires_ms, ended.replaced_by)
            await _insert(tx, after, secret)
            await tx.define(tenant, _COPY_QUOTA, tenant, key_id, new_id)
            return after

        return await self._runner.run(tenant, work), secret

    async def set_networks(self, tenant: str, key_id: str, networks: Sequence[str]) -> KeyRecord:
        """Replace the networks that a key may be used from. Raises `NotFound`."""

        async def work(tx: Transaction) -> KeyRecord:
            if not await tx.define(OPERATOR_LEVEL, _NETWORKS, tenant, key_id, _text(networks)):
                raise NotFound("no such key")
            return _key(await tx.row(_GET, tenant, key_id))

        return await self._runner.run(tenant, work)

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key permanently; return whether there was such a key."""
        now_ms = self._clock.now_ms()

        async def work(tx: Transaction) -> bool:
            await tx.define(OPERATOR_LEVEL, _REVOKE, tenant, key_id, now_ms)
            return await tx.row(_EXISTS, tenant, key_id) is not None

        return await self._runner.run(tenant, work)

    async def record_uses(self, uses: Sequence[KeyUse]) -> list[KeyUse]:
        """Store when and from where keys were last used, and return the uses from networks that were not stored for
        their key before."""
        ordered = sorted(uses, key=lambda use: use.key_id)  # rows are locked in one order

        async def work(tx: Transaction) -> list[KeyUse]:
            new = {id(use) for use in ordered if await _record(tx, use)}
            return [use for use in uses if id(use) in new]

        return await self._runner.run({use.tenant for use in uses}, work)

    async def networks_of(self, tenant: str, key_id: str) -> list[KeyUse]:
        """Return the networks that a key was used from, the last one first."""
        return [KeyUse(tenant, key_id, *row) for row in await self._runner.rows(tenant, _USES, tenant, key_id)]

    async def expiring(self, within_ms: int, again_ms: int, limit: int) -> list[KeyRecord]:
        """Return keys that expire within a time and were not returned for `again_ms`, the first to expire first."""
        now_ms = self._clock.now_ms()
        values = (now_ms, now_ms + within_ms, now_ms - again_ms, limit)
        return [_key(row) for row in await self._runner.run(NO_TENANT, lambda tx: tx.rows(_EXPIRING, *values))]


async def _insert(tx: Transaction, record: KeyRecord, secret: str) -> None:
    await tx.define(
        OPERATOR_LEVEL, _INSERT, record.key_id, record.tenant, record.name, key_digest(secret), _text(record.scopes),
        record.created_ms, record.expires_ms, _text(record.networks), record.replaces,
    )  # fmt: skip


async def _record(tx: Transaction, use: KeyUse) -> bool:
    """Store a use; return whether the network was not stored before."""
    own = (use.tenant, use.key_id)
    if not await tx.change(_USED, *own, use.at_ms, use.network):
        return False
    is_new = await tx.row(_KNOWN, *own, use.network) is None
    await tx.change(_USED_FROM, *own, use.network, use.at_ms)
    if is_new:
        await tx.change(_FORGET, *own, KEY_NETWORKS_KEPT_MAX)
    return is_new


def _text(items: Sequence[str]) -> str:
    return msgspec.json.encode(items).decode()


def _key(row: Any) -> KeyRecord:
    values = dict(row)
    return KeyRecord(**values | {name: tuple(msgspec.json.decode(values[name])) for name in ("scopes", "networks")})
