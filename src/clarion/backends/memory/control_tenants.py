"""Tenants, API keys and quotas in memory."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from clarion.backends.memory.control_state import ControlState, StoredKey, copied, keys_after
from clarion.domain.api_key import KEY_ID_BYTES, SECRET_BYTES, key_digest, key_of
from clarion.domain.errors import NotFound
from clarion.domain.quota import TENANT, Quota
from clarion.ports.clock import Clock
from clarion.ports.control import KeyRecord, TenantRecord
from clarion.ports.directory import OPERATOR_LEVEL

_UNLIMITED: Final = Quota()


class MemoryTenants:
    """The tenants of the installation."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def put(self, tenant: str, name: str) -> TenantRecord:
        """Create a tenant or rename it."""
        now = self._clock.now_ms()
        before = self._state.tenants.get(tenant, TenantRecord(tenant, name, {}, now, now))
        self._state.tenants[tenant] = replace(before, name=name, updated_ms=now)
        self._state.changed(OPERATOR_LEVEL)
        return copied(self._state.tenants[tenant])

    async def get(self, tenant: str) -> TenantRecord | None:
        """Return a tenant."""
        found = self._state.tenants.get(tenant)
        return None if found is None else copied(found)

    async def page(self, after: str, limit: int) -> list[TenantRecord]:
        """Return tenants in the order of their ids."""
        return [copied(self._state.tenants[key]) for key in keys_after(self._state.tenants, after, limit)]

    async def set_defaults(self, tenant: str, defaults: dict[str, dict[str, bool]]) -> None:
        """Replace the default preferences of a tenant. Raises `NotFound`."""
        before = self._state.tenants.get(tenant)
        if before is None:
            raise NotFound("no such tenant")
        changed = replace(before, defaults=defaults, updated_ms=self._clock.now_ms())
        self._state.tenants[tenant] = copied(changed)
        self._state.changed(tenant)


class MemoryKeys:
    """API keys, of which only a hash is kept."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def create(
        self, tenant: str, name: str, scopes: Sequence[str], expires_ms: int | None = None
    ) -> tuple[KeyRecord, str]:
        """Make a key and return it with its secret, which nobody can read again."""
        key_id = self._clock.entropy(KEY_ID_BYTES).hex()
        secret = key_of(key_id, self._clock.entropy(SECRET_BYTES))
        record = KeyRecord(key_id, tenant, name, tuple(sorted(set(scopes))), self._clock.now_ms(), expires_ms)
        self._state.keys[key_id] = StoredKey(record, key_digest(secret))
        self._state.changed(OPERATOR_LEVEL)
        return record, secret

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        mine = {key_id: key.record for key_id, key in self._state.keys.items() if key.record.tenant == tenant}
        return [mine[key_id] for key_id in keys_after(mine, after, limit)]

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key for good; return whether there was such a key."""
        key = self._state.keys.get(key_id)
        if key is None or key.record.tenant != tenant:
            return False
        if key.record.revoked_ms is None:
            revoked = replace(key.record, revoked_ms=self._clock.now_ms())
            self._state.keys[key_id] = replace(key, record=revoked)
            self._state.changed(OPERATOR_LEVEL)
        return True


class MemoryQuotaSettings:
    """The quotas of tenants and of single keys; the key id of a tenant's own is empty."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota; one without any limit is as none. Raises `NotFound` when there is no such tenant or key."""
        self._check_owner(tenant, key_id)
        if quota == _UNLIMITED and key_id not in self._state.quotas[tenant]:
            return
        quotas = {owner: before for owner, before in self._state.quotas[tenant].items() if owner != key_id}
        self._state.quotas[tenant] = quotas if quota == _UNLIMITED else quotas | {key_id: quota}
        self._state.changed(tenant)

    async def get(self, tenant: str, key_id: str) -> Quota:
        """Return a quota. Raises `NotFound` when there is no such tenant or key."""
        self._check_owner(tenant, key_id)
        return self._state.quotas[tenant].get(key_id, _UNLIMITED)

    def _check_owner(self, tenant: str, key_id: str) -> None:
        if key_id == TENANT:
            if tenant not in self._state.tenants:
                raise NotFound("no such tenant")
            return
        key = self._state.keys.get(key_id)
        if key is None or key.record.tenant != tenant:
            raise NotFound("no such key")
