"""The API keys of tenants: of each only a digest is stored, with what it may do and what became of it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from clarion.domain.api_key import KEY_ID_BYTES, SECRET_BYTES, key_of
from clarion.domain.errors import Conflict
from clarion.ports.clock import Clock


class KeyRecord(msgspec.Struct, frozen=True):
    """An API key without its secret. The tenant of an operator's key is empty. Without `networks` (canonical CIDR) it may
    be used from anywhere. `replaces` and `replaced_by` are the ids of the keys before and after it, by rotation."""

    key_id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    networks: tuple[str, ...] = ()
    replaces: str | None = None
    replaced_by: str | None = None
    last_used_ms: int | None = None
    last_used_from: str | None = None


class KeyUse(msgspec.Struct, frozen=True):
    """The use of a key from a network (`domain.networks.network_of`), and when it was last used from there."""

    tenant: str
    key_id: str
    network: str
    at_ms: int


class Keys(Protocol):
    """API keys, of which only a hash is stored."""

    async def create(
        self,
        tenant: str,
        name: str,
        scopes: Sequence[str],
        expires_ms: int | None = None,
        networks: Sequence[str] = (),
    ) -> tuple[KeyRecord, str]:
        """Create a key and return it with its secret, which cannot be read again."""
        ...

    async def get(self, tenant: str, key_id: str) -> KeyRecord | None:
        """Return a key, even a revoked one."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        ...

    async def rotate(self, tenant: str, key_id: str, overlap_ms: int) -> tuple[KeyRecord, str]:
        """Create the successor of a key (`successor`) with its quota, end the key after the overlap, and return the
        successor with its secret: all of it or nothing. Raises `NotFound` and `Conflict`."""
        ...

    async def set_networks(self, tenant: str, key_id: str, networks: Sequence[str]) -> KeyRecord:
        """Replace the networks that a key may be used from. Raises `NotFound`."""
        ...

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key for good; return whether it existed."""
        ...

    async def record_uses(self, uses: Sequence[KeyUse]) -> list[KeyUse]:
        """Store when and from where keys were last used, and return the uses from networks that were not stored for
        their key before. Of each key the last `KEY_NETWORKS_KEPT_MAX` networks are stored. Unknown keys are ignored. No
        definition changes, so no cache is dropped."""
        ...

    async def networks_of(self, tenant: str, key_id: str) -> list[KeyUse]:
        """Return the networks that a key was used from, the last one first."""
        ...

    async def expiring(self, within_ms: int, again_ms: int, limit: int) -> list[KeyRecord]:
        """Return keys that expire within a time, are neither revoked nor replaced, and were not returned for `again_ms`,
        by any process; the first to expire first."""
        ...


def new_key(
    clock: Clock, tenant: str, name: str, scopes: Sequence[str], expires_ms: int | None, networks: Sequence[str]
) -> tuple[KeyRecord, str]:
    """Return a new key and its secret."""
    key_id, secret = new_secret(clock)
    scopes, networks = tuple(sorted(set(scopes))), tuple(networks)
    return KeyRecord(key_id, tenant, name, scopes, clock.now_ms(), expires_ms, None, networks), secret


def new_secret(clock: Clock) -> tuple[str, str]:
    """Return a new id of a key, and the secret of that key."""
    key_id = clock.entropy(KEY_ID_BYTES).hex()
    return key_id, key_of(key_id, clock.entropy(SECRET_BYTES))


def successor(before: KeyRecord, key_id: str, now_ms: int, overlap_ms: int) -> tuple[KeyRecord, KeyRecord]:
    """Return a key with its end and its successor, and the successor: with the same name, scopes and networks, and the
    same lifetime as the key had. Raises `Conflict` when the key is revoked, expired or replaced already."""
    if before.replaced_by is not None:
        detail = f"the key was already replaced by {before.replaced_by}; rotate that one"
        raise Conflict(detail, code="key_already_rotated")
    if before.revoked_ms is not None or (before.expires_ms is not None and before.expires_ms <= now_ms):
        raise Conflict("the key is revoked or expired; create another one", code="key_ended")
    ends_ms = now_ms + overlap_ms if before.expires_ms is None else min(now_ms + overlap_ms, before.expires_ms)
    expires_ms = None if before.expires_ms is None else now_ms + before.expires_ms - before.created_ms
    after = KeyRecord(
        key_id, before.tenant, before.name, before.scopes, now_ms, expires_ms, None, before.networks, before.key_id
    )
    return replace(before, expires_ms=ends_ms, replaced_by=key_id), after
