"""Repositories of provider accounts and of suppressed addresses."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.resilience import AccountRules
from clarion.ports.secrets import Vault


class ProviderWrite(msgspec.Struct, frozen=True):
    """A provider account to store. `credentials` of None keeps those stored. Lower `priority` is preferred."""

    name: str
    channel: Channel
    vendor: str
    priority: int
    enabled: bool
    settings: dict[str, Any]
    credentials: dict[str, Any] | None
    rules: AccountRules = AccountRules()

    def __repr__(self) -> str:
        return f"ProviderWrite(name={self.name!r}, vendor={self.vendor!r})"


class ProviderRecord(msgspec.Struct, frozen=True):
    """A provider account as anyone may see it: of the credentials only the names."""

    name: str
    channel: Channel
    vendor: str
    priority: int
    enabled: bool
    settings: dict[str, Any]
    credential_names: tuple[str, ...]
    version: int
    created_ms: int
    updated_ms: int
    rules: AccountRules = AccountRules()


def seal_credentials(vault: Vault, tenant: str, name: str, credentials: dict[str, Any]) -> bytes:
    """Return the credentials of an account as they are stored."""
    return vault.seal(tenant, f"provider:{name}", msgspec.msgpack.encode(credentials))


def open_credentials(vault: Vault, tenant: str, name: str, sealed: bytes) -> dict[str, Any]:
    """Return the credentials of an account. Raises `SealBroken`."""
    return msgspec.msgpack.decode(vault.open(tenant, f"provider:{name}", sealed), type=dict[str, Any])


class Providers(Protocol):
    """The provider accounts of a tenant."""

    async def put(self, tenant: str, provider: ProviderWrite) -> ProviderRecord:
        """Create or replace an account; its version grows."""
        ...

    async def get(self, tenant: str, name: str) -> ProviderRecord | None:
        """Return an account."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[ProviderRecord]:
        """Return accounts in the order of their names."""
        ...

    async def remove(self, tenant: str, name: str) -> bool:
        """Remove an account and its credentials; return whether there was one."""
        ...


class Suppression(msgspec.Struct, frozen=True):
    """An address nothing may be sent to on a channel, until `expires_ms` if that is set."""

    channel: Channel
    address: str
    reason: str
    created_ms: int
    expires_ms: int | None = None


class Suppressions(Protocol):
    """The suppressed addresses of a tenant."""

    async def add(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions in one transaction; one already there is replaced."""
        ...

    async def learn(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store what is not suppressed yet, or for a shorter time, in one transaction; what is suppressed for good stays as
        it is, whatever it was for. The same again changes nothing."""
        ...

    async def lift(self, tenant: str, channel: str, address: str, reason: str, said_ms: int) -> bool:
        """Lift a suppression if it was made for this reason, and not after `said_ms` (Unix ms); return whether there was
        one."""
        ...

    async def page(
        self, tenant: str, channel: str | None, address: str | None, after: tuple[str, str], limit: int
    ) -> list[Suppression]:
        """Return suppressions in the order of (channel, address), filtered, from after a (channel, address) on."""
        ...

    async def remove(self, tenant: str, channel: str, address: str) -> bool:
        """Lift a suppression; return whether there was one."""
        ...
