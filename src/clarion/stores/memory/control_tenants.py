"""Tenants and quotas in memory."""

from typing import Final

from msgspec.structs import replace

from clarion.domain.errors import NotFound
from clarion.domain.quota import TENANT, Quota
from clarion.domain.token_key import TokenKey
from clarion.ports.clock import Clock
from clarion.ports.control import TenantRecord
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.memory.control_state import ControlState, copied, keys_after

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
        """Return a tenant, or None when there is none."""
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

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that user tokens are signed with."""
        return self._state.token_keys.get(tenant, TokenKey())

    async def rotate_token_key(self, tenant: str, overlap_ms: int) -> TokenKey:
        """Begin another key for user tokens; those of the one before are valid until the overlap ends."""
        before = await self.token_key(tenant)
        key = TokenKey(before.generation + 1, self._clock.now_ms() + overlap_ms)
        self._state.token_keys[tenant] = key
        self._state.changed(tenant)
        return key


class MemoryQuotaSettings:
    """The quotas of tenants and of single API keys; a tenant's own quota has an empty key id."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota; a quota without any limit removes it. Raises `NotFound` when there is no such tenant or
        key."""
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
