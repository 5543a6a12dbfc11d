"""Repositories of provider accounts and of suppressions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import Conflict
from clarion.domain.resilience import AccountRules
from clarion.domain.secret_reference import references_in
from clarion.ports.secrets import Vault

ACCOUNT_COLUMNS: Final = ("name", "channel", "vendor", "priority", "settings", "sealed", "version", "rules")
"""What `read_account` reads."""
_RULES: Final = msgspec.json.Decoder(AccountRules)


class ProviderRecord(msgspec.Struct, frozen=True):
    """A provider account as shown to clients: of the credentials only the names, and the references among them."""

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
    credential_references: dict[str, str] = {}


class ProviderWrite(msgspec.Struct, frozen=True):
    """A provider account to store. `credentials` of None keeps those of `kept`, the account as it was read: they are
    bound to its settings. Lower `priority` is preferred."""

    name: str
    channel: Channel
    vendor: str
    priority: int
    enabled: bool
    settings: dict[str, Any]
    credentials: dict[str, Any] | None
    rules: AccountRules = AccountRules()
    kept: ProviderRecord | None = None

    def __repr__(self) -> str:
        return f"ProviderWrite(name={self.name!r}, vendor={self.vendor!r})"


def check_kept(provider: ProviderWrite, stored: ProviderRecord | None) -> None:
    """Raise `Conflict` when credentials are kept and the stored account is not the one they are kept of."""
    if provider.credentials is None and provider.kept != stored:
        raise Conflict("the account was changed by another request at the same time; nothing was stored")


def seal_credentials(vault: Vault, tenant: str, name: str, credentials: dict[str, Any]) -> bytes:
    """Return the sealed form of an account's credentials, which is stored."""
    return vault.seal(tenant, f"provider:{name}", msgspec.msgpack.encode(credentials))


def open_credentials(vault: Vault, tenant: str, name: str, sealed: bytes) -> dict[str, Any]:
    """Return the credentials of an account. Raises `SealBroken`."""
    return msgspec.msgpack.decode(vault.open(tenant, f"provider:{name}", sealed), type=dict[str, Any])


def read_record(stored: Mapping[str, Any]) -> ProviderRecord:
    """Return an account as shown to clients from its stored values by column, which are texts of JSON where they have a
    structure."""
    values = dict(stored)
    values["channel"] = Channel(values["channel"])
    values["enabled"] = bool(values["enabled"])
    values["settings"] = msgspec.json.decode(values["settings"])
    values["rules"] = _RULES.decode(values["rules"])
    values["credential_names"] = tuple(msgspec.json.decode(values["credential_names"]))
    values["credential_references"] = msgspec.json.decode(values["credential_references"], type=dict[str, str])
    return ProviderRecord(**values)


def read_account(vault: Vault, tenant: str, row: Sequence[Any]) -> Account:
    """Return an account with its credentials from its stored values, `ACCOUNT_COLUMNS`. Raises `SealBroken`."""
    name, channel, vendor, priority, settings, sealed, version, rules = row
    credentials = open_credentials(vault, tenant, name, sealed)
    return Account(
        tenant, name, Channel(channel), vendor, priority, msgspec.json.decode(settings), credentials, version,
        _RULES.decode(rules), tuple(references_in(credentials)),
    )  # fmt: skip


class Providers(Protocol):
    """The provider accounts of a tenant."""

    async def put(self, tenant: str, provider: ProviderWrite) -> ProviderRecord:
        """Create or replace an account; its version grows. Raises `Conflict` as `check_kept` does."""
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
    """An address to which nothing is sent on a channel, until `expires_ms` if it is set."""

    channel: Channel
    address: str
    reason: str
    created_ms: int
    expires_ms: int | None = None


class Suppressions(Protocol):
    """The suppressed addresses of a tenant."""

    async def add(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions in one transaction; an existing one is replaced."""
        ...

    async def add_missing(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions of addresses that are not suppressed yet, or for a shorter time, in one transaction; a
        suppression without an end stays unchanged, regardless of its reason. Idempotent."""
        ...

    async def lift(self, tenant: str, channel: str, address: str, reason: str, asked_ms: int) -> bool:
        """Remove a suppression if it has this reason and was not made after `asked_ms` (Unix ms); return whether it
        existed."""
        ...

    async def page(
        self, tenant: str, channel: str | None, address: str | None, after: tuple[str, str], limit: int
    ) -> list[Suppression]:
        """Return suppressions in the order of (channel, address), filtered, starting after a (channel, address)."""
        ...

    async def remove(self, tenant: str, channel: str, address: str) -> bool:
        """Remove a suppression; return whether it existed."""
        ...
