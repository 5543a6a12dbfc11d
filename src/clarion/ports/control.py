"""The control store: what tenants define, as one small repository per aggregate.

Every method takes the tenant first and sees nothing of another one. Writes are durable when the call returns. Times are
Unix milliseconds. Lists are ordered by key and paged by the last key seen (`""` to begin with).
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from clarion.domain.quota import Quota
from clarion.ports.audiences import Audiences
from clarion.ports.control_accounts import Providers, Suppressions
from clarion.ports.control_content import Categories, Templates
from clarion.ports.control_definitions import Definitions
from clarion.ports.control_users import Consents, Topics, Users


class TenantRecord(msgspec.Struct, frozen=True):
    """A tenant. `defaults` are its default preferences: category (or `*`) to channel (or `*`) to allowed."""

    tenant: str
    name: str
    defaults: dict[str, dict[str, bool]]
    created_ms: int
    updated_ms: int


class KeyRecord(msgspec.Struct, frozen=True):
    """An API key without its secret. The tenant of an operator's key is empty."""

    key_id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None


class Tenants(Protocol):
    """The tenants of the installation."""

    async def put(self, tenant: str, name: str) -> TenantRecord:
        """Create a tenant or rename it."""
        ...

    async def get(self, tenant: str) -> TenantRecord | None:
        """Return a tenant."""
        ...

    async def page(self, after: str, limit: int) -> list[TenantRecord]:
        """Return tenants in the order of their ids."""
        ...

    async def set_defaults(self, tenant: str, defaults: dict[str, dict[str, bool]]) -> None:
        """Replace the default preferences of a tenant. Raises `NotFound`."""
        ...


class Keys(Protocol):
    """API keys, of which only a hash is kept."""

    async def create(
        self, tenant: str, name: str, scopes: Sequence[str], expires_ms: int | None = None
    ) -> tuple[KeyRecord, str]:
        """Make a key and return it with its secret, which nobody can read again."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        ...

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key for good; return whether there was such a key."""
        ...


class QuotaSettings(Protocol):
    """The quotas of tenants and of single keys; the key id of a tenant's own is empty."""

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota; one without any limit is as none. Raises `NotFound` when there is no such tenant or key."""
        ...

    async def get(self, tenant: str, key_id: str) -> Quota:
        """Return a quota. Raises `NotFound` when there is no such tenant or key."""
        ...


class Control(Protocol):
    """All repositories of one installation."""

    @property
    def tenants(self) -> Tenants:
        """The tenants."""
        ...

    @property
    def keys(self) -> Keys:
        """The API keys."""
        ...

    @property
    def quotas(self) -> QuotaSettings:
        """The quotas of tenants and keys."""
        ...

    @property
    def users(self) -> Users:
        """The users with their preferences and devices."""
        ...

    @property
    def consents(self) -> Consents:
        """The history of what users allowed and refused."""
        ...

    @property
    def topics(self) -> Topics:
        """The topics and their members."""
        ...

    @property
    def categories(self) -> Categories:
        """The categories."""
        ...

    @property
    def templates(self) -> Templates:
        """The templates."""
        ...

    @property
    def providers(self) -> Providers:
        """The provider accounts."""
        ...

    @property
    def definitions(self) -> Definitions:
        """The workflows, segments, schedules, event rules and policies."""
        ...

    @property
    def audiences(self) -> Audiences:
        """How many users an audience has."""
        ...

    @property
    def suppressions(self) -> Suppressions:
        """The suppressed addresses."""
        ...

    async def close(self) -> None:
        """Finish what is under way and close."""
        ...
