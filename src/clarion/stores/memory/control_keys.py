"""API keys in memory."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from clarion.domain.api_key import key_digest
from clarion.domain.errors import NotFound
from clarion.domain.limits_processes import KEY_NETWORKS_KEPT_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_keys import KeyRecord, KeyUse, new_key, new_secret, successor
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.memory.control_state import ControlState, StoredKey, keys_after


class MemoryKeys:
    """API keys, of which only a hash is stored."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
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
        self._state.keys[record.key_id] = StoredKey(record, key_digest(secret))
        self._state.changed(OPERATOR_LEVEL)
        return record, secret

    async def get(self, tenant: str, key_id: str) -> KeyRecord | None:
        """Return a key, even a revoked one."""
        key = self._own(tenant, key_id)
        return None if key is None else key.record

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        own = {key_id: key.record for key_id, key in self._state.keys.items() if key.record.tenant == tenant}
        return [own[key_id] for key_id in keys_after(own, after, limit)]

    async def rotate(self, tenant: str, key_id: str, overlap_ms: int) -> tuple[KeyRecord, str]:
        """Create the successor of a key, with its quota, and end the key after the overlap. Raises `NotFound` and
        `Conflict`."""
        new_id, secret = new_secret(self._clock)
        before = self._found(tenant, key_id)
        ended, after = successor(before.record, new_id, self._clock.now_ms(), overlap_ms)
        self._state.keys[key_id] = replace(before, record=ended)
        self._state.keys[new_id] = StoredKey(after, key_digest(secret))
        self._state.changed(OPERATOR_LEVEL)
        quotas = self._state.quotas[tenant]
        if key_id in quotas:
            self._state.quotas[tenant] = {**quotas, new_id: quotas[key_id]}
            self._state.changed(tenant)
        return after, secret

    async def set_networks(self, tenant: str, key_id: str, networks: Sequence[str]) -> KeyRecord:
        """Replace the networks that a key may be used from. Raises `NotFound`."""
        before = self._found(tenant, key_id)
        record = replace(before.record, networks=tuple(networks))
        self._state.keys[key_id] = replace(before, record=record)
        self._state.changed(OPERATOR_LEVEL)
        return record

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key permanently; return whether there was such a key."""
        key = self._own(tenant, key_id)
        if key is None:
            return False
        if key.record.revoked_ms is None:
            self._state.keys[key_id] = replace(key, record=replace(key.record, revoked_ms=self._clock.now_ms()))
            self._state.changed(OPERATOR_LEVEL)
        return True

    async def record_uses(self, uses: Sequence[KeyUse]) -> list[KeyUse]:
        """Store when and from where keys were last used, and return the uses from networks that were not stored for
        their key before."""
        return [use for use in uses if self._record(use)]

    async def networks_of(self, tenant: str, key_id: str) -> list[KeyUse]:
        """Return the networks that a key was used from, the last one first."""
        key = self._own(tenant, key_id)
        return [] if key is None else _newest_first(KeyUse(tenant, key_id, *used) for used in key.networks.items())

    async def expiring(self, within_ms: int, again_ms: int, limit: int) -> list[KeyRecord]:
        """Return keys that expire within a time and were not returned for `again_ms`, the first to expire first."""
        now_ms = self._clock.now_ms()
        due = [
            (key.record.expires_ms, key_id)
            for key_id, key in self._state.keys.items()
            if key.record.revoked_ms is None
            and key.record.replaced_by is None
            and key.record.expires_ms is not None
            and now_ms < key.record.expires_ms <= now_ms + within_ms
            and (key.warned_ms is None or key.warned_ms <= now_ms - again_ms)
        ]
        found = [key_id for _, key_id in sorted(due)[:limit]]
        for key_id in found:
            self._state.keys[key_id] = replace(self._state.keys[key_id], warned_ms=now_ms)
        return [self._state.keys[key_id].record for key_id in found]

    def _record(self, use: KeyUse) -> bool:
        key = self._own(use.tenant, use.key_id)
        if key is None:
            return False
        record, new = key.record, use.network not in key.networks
        if record.last_used_ms is None or record.last_used_ms <= use.at_ms:
            record = replace(record, last_used_ms=use.at_ms, last_used_from=use.network)
        last_ms = max(use.at_ms, key.networks.get(use.network, 0))
        kept = _newest_first(
            KeyUse(use.tenant, use.key_id, *used) for used in (key.networks | {use.network: last_ms}).items()
        )
        networks = {one.network: one.at_ms for one in kept[:KEY_NETWORKS_KEPT_MAX]}
        self._state.keys[use.key_id] = replace(key, record=record, networks=networks)
        return new

    def _found(self, tenant: str, key_id: str) -> StoredKey:
        key = self._own(tenant, key_id)
        if key is None:
            raise NotFound("no such key")
        return key

    def _own(self, tenant: str, key_id: str) -> StoredKey | None:
        key = self._state.keys.get(key_id)
        return key if key is not None and key.record.tenant == tenant else None


def _newest_first(uses: Iterable[KeyUse]) -> list[KeyUse]:
    return sorted(uses, key=lambda use: (-use.at_ms, use.network))
