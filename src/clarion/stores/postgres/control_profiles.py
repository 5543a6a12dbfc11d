"""Profiles on PostgreSQL: one row for all users of a tenant who share zone, preferences and quiet hours, never changed."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from clarion.domain.limits_processes import PROFILE_CACHE_MAX
from clarion.stores.postgres.control_run import Transaction
from clarion.stores.postgres.pool import columns

_FIND: Final = "SELECT digest, profile_id FROM profiles WHERE tenant = $1 AND digest = ANY($2::bytea[])"
_INSERT: Final = """
INSERT INTO profiles (tenant, digest, zone, preferences, quiet_hours)
SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::text[], $5::text[]) ON CONFLICT (tenant, digest) DO NOTHING
"""


class ProfileKey(NamedTuple):
    """The values that identify a profile; preferences and quiet hours are canonical JSON."""

    tenant: str
    zone: str
    preferences: str
    quiet_hours: str

    def digest(self) -> bytes:
        """Return the 16 bytes by which a profile is looked up."""
        return blake2b("".join(f"{len(part)}:{part}" for part in self).encode(), digest_size=16).digest()


class Profiles:
    """The ids of profiles; the most recently used ones are cached."""

    def __init__(self) -> None:
        self._ids: dict[ProfileKey, int] = {}

    async def ids_of(self, tx: Transaction, tenant: str, keys: Iterable[ProfileKey]) -> dict[ProfileKey, int]:
        """Return the ids of a tenant's profiles, inserting those that are new. Hand them to `remember` once the
        transaction is durable: a rollback removes the profiles it inserted."""
        wanted = set(keys)
        found = {key: self._ids[key] for key in wanted if key in self._ids}
        missing = {key.digest(): key for key in wanted - found.keys()}
        if missing:
            stored = dict(await tx.rows(_FIND, tenant, list(missing)))
            lacking = sorted((digest, *key[1:]) for digest, key in missing.items() if digest not in stored)
            if lacking:
                await tx.change(_INSERT, tenant, *columns(lacking, 4))
                # A statement of its own: it finds those that another transaction has inserted meanwhile, too.
                stored |= dict(await tx.rows(_FIND, tenant, [digest for digest, *_ in lacking]))
            found |= {key: stored[digest] for digest, key in missing.items()}
        return found

    def remember(self, ids: dict[ProfileKey, int]) -> None:
        """Cache ids whose transaction is durable."""
        if len(self._ids) + len(ids) > PROFILE_CACHE_MAX:
            self._ids = {}
        self._ids.update(ids)
