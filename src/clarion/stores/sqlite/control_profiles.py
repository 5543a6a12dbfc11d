"""Profiles in `control.db`: one row for all users of a tenant who share zone, preferences and quiet hours, never changed."""

from hashlib import blake2b
from typing import Final, NamedTuple

from clarion.domain.limits_processes import PROFILE_CACHE_MAX
from clarion.stores.sqlite.control_run import Transaction

_FIND: Final = "SELECT profile_id FROM profiles WHERE digest = ?"
_INSERT: Final = """
INSERT INTO profiles (tenant, zone, preferences, quiet_hours, digest) VALUES (?, ?, ?, ?, ?) RETURNING profile_id
"""


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

    def id_of(self, tx: Transaction, key: ProfileKey, fresh: dict[ProfileKey, int]) -> int:
        """Return the id of a profile, inserting the profile if it is new.

        New ids are held in `fresh` until the transaction is durable: a rollback removes the profiles it inserted.
        """
        found = self._ids.get(key) or fresh.get(key)
        if found is None:
            digest = key.digest()
            rows = tx.sql(_FIND, (digest,)) or tx.sql(_INSERT, (*key, digest))
            found = fresh[key] = int(rows[0][0])
        return found

    def remember(self, fresh: dict[ProfileKey, int]) -> None:
        """Cache ids whose transaction is durable."""
        if len(self._ids) + len(fresh) > PROFILE_CACHE_MAX:
            self._ids = {}
        self._ids.update(fresh)
