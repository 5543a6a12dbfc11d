"""Provider accounts, with their credentials sealed, and suppressions in memory."""

from collections.abc import Sequence

import msgspec

from clarion.domain.address import suppression_key
from clarion.domain.secret_reference import references_in
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import ProviderRecord, ProviderWrite, Suppression, check_kept, seal_credentials
from clarion.ports.secrets import Vault
from clarion.stores.memory.control_state import ControlState, StoredProvider, copied, keys_after


class MemoryProviders:
    """The provider accounts of a tenant."""

    def __init__(self, state: ControlState, clock: Clock, vault: Vault) -> None:
        self._state = state
        self._clock = clock
        self._vault = vault

    async def put(self, tenant: str, provider: ProviderWrite) -> ProviderRecord:
        """Create or replace an account, and return it with its new version, which is one higher. Raises `Conflict` when
        credentials are kept and the account is not the one they are kept of."""
        before = self._state.providers[tenant].get(provider.name)
        check_kept(provider, before.record if before else None)
        now = self._clock.now_ms()
        if before is not None and provider.credentials is None:
            names, sealed = before.record.credential_names, before.sealed
            references = before.record.credential_references
        else:
            credentials = provider.credentials or {}
            names, references = tuple(sorted(credentials)), references_in(credentials)
            sealed = seal_credentials(self._vault, tenant, provider.name, credentials)
        record = ProviderRecord(
            provider.name, provider.channel, provider.vendor, provider.priority, provider.enabled, provider.settings,
            names, before.record.version + 1 if before else 1, before.record.created_ms if before else now, now,
            provider.rules, references,
        )  # fmt: skip
        self._state.providers[tenant][provider.name] = StoredProvider(copied(record), sealed)
        self._state.changed(tenant)
        return copied(record)

    async def get(self, tenant: str, name: str) -> ProviderRecord | None:
        """Return an account, or None when there is none."""
        found = self._state.providers[tenant].get(name)
        return None if found is None else copied(found.record)

    async def page(self, tenant: str, after: str, limit: int) -> list[ProviderRecord]:
        """Return accounts in the order of their names."""
        providers = self._state.providers[tenant]
        return [copied(providers[name].record) for name in keys_after(providers, after, limit)]

    async def remove(self, tenant: str, name: str) -> bool:
        """Remove an account and its credentials; return whether there was one."""
        if self._state.providers[tenant].pop(name, None) is None:
            return False
        self._state.changed(tenant)
        return True


class MemorySuppressions:
    """The suppressed addresses of a tenant."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    async def add(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions; existing ones are replaced."""
        self._state.suppressions[tenant].update(_placed(entry) for entry in suppressions)

    async def add_missing(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions of addresses that are not suppressed yet, or that are for a shorter time. A permanent
        suppression stays unchanged."""
        known = self._state.suppressions[tenant]
        for place, entry in map(_placed, suppressions):
            before = known.get(place)
            if before is None or _outlives(entry, before):
                known[place] = entry

    async def lift(self, tenant: str, channel: str, address: str, reason: str, asked_ms: int) -> bool:
        """Lift a suppression if it has this reason and was not made after `asked_ms`. Return whether one was lifted."""
        found = self._state.suppressions[tenant].get((channel, suppression_key(channel, address)))
        if found is None or found.reason != reason or found.created_ms > asked_ms:
            return False
        return await self.remove(tenant, channel, address)

    async def page(
        self, tenant: str, channel: str | None, address: str | None, after: tuple[str, str], limit: int
    ) -> list[Suppression]:
        """Return filtered suppressions after a (channel, address), in the order of (channel, address)."""
        addresses = None if address is None else (address, address.lower())
        found = (
            (place, entry)
            for place, entry in self._state.suppressions[tenant].items()
            if place > after and channel in (None, place[0]) and (addresses is None or place[1] in addresses)
        )
        return [entry for _, entry in sorted(found, key=lambda pair: pair[0])[:limit]]

    async def remove(self, tenant: str, channel: str, address: str) -> bool:
        """Lift a suppression; return whether there was one."""
        place = (channel, suppression_key(channel, address))
        return self._state.suppressions[tenant].pop(place, None) is not None


def _placed(entry: Suppression) -> tuple[tuple[str, str], Suppression]:
    address = suppression_key(entry.channel, entry.address)
    return (entry.channel.value, address), msgspec.structs.replace(entry, address=address)


def _outlives(entry: Suppression, before: Suppression) -> bool:
    """Return whether a suppression ends later than the existing one, or that one has expired."""
    if before.expires_ms is None or entry.expires_ms is None:
        return before.expires_ms is not None
    return before.expires_ms <= max(entry.created_ms, entry.expires_ms)
