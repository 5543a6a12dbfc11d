"""Profiles: one row for all users of a tenant who share zone, preferences and quiet hours, never changed."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select

from clarion.domain.limits_processes import PROFILE_CACHE_MAX
from clarion.stores.sql.engine import Transaction
from clarion.stores.sql.statement import Among, Many, Statement
from clarion.stores.sql.tables import PROFILES

_P: Final = PROFILES.c
_FIND: Final = Statement(
    select(_P.digest, _P.profile_id).where(_P.tenant == bindparam("tenant"), Among(_P.digest, "digests"))
)
_GIVEN: Final = "digest:b zone preferences quiet_hours"
_INSERT: Final = Many(
    _GIVEN,
    lambda given: given.insert(
        PROFILES,
        {"tenant": bindparam("tenant")}
        | {name: given[name] for name in ("digest", "zone", "preferences", "quiet_hours")},
    ).on_conflict_do_nothing(),
)


class ProfileKey(NamedTuple):
    """The values that identify a profile; preferences and quiet hours are canonical JSON."""

    tenant: str
    zone: str
    preferences: str
    quiet_hours: str

    def digest(self) -> bytes:
        """Return the 16 bytes by which a profile is looked up. For a profile without quiet hours it is the digest used
        before quiet hours existed, so that those profiles stay in use."""
        parts = self if self.quiet_hours else self[:-1]
        return blake2b("".join(f"{len(part)}:{part}" for part in parts).encode(), digest_size=16).digest()


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
            stored: dict[bytes, int] = dict(await tx.rows(_FIND, tenant=tenant, digests=list(missing)))
            lacking = sorted((digest, *key[1:]) for digest, key in missing.items() if digest not in stored)
            if lacking:
                await tx.change_many(_INSERT, lacking, tenant=tenant)
                # A statement of its own: it finds those that another transaction has inserted meanwhile, too.
                stored |= dict(await tx.rows(_FIND, tenant=tenant, digests=[digest for digest, *_ in lacking]))
            found |= {key: stored[digest] for digest, key in missing.items()}
        return found

    def remember(self, ids: dict[ProfileKey, int]) -> None:
        """Cache ids whose transaction is durable."""
        if len(self._ids) + len(ids) > PROFILE_CACHE_MAX:
            self._ids = {}
        self._ids.update(ids)
