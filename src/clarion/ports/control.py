"""The control store: the definitions of tenants, one small repository per aggregate.

Every method takes the tenant first and reads and writes nothing of another one. Writes are durable when the call
returns. Times are Unix milliseconds. Lists are ordered by key and paged by the last key seen (`""` to begin with).
"""

from typing import Protocol

import msgspec

from clarion.domain.quota import Quota
from clarion.domain.token_key import TokenKey
from clarion.ports.audiences import Audiences
from clarion.ports.control_accounts import Providers, Suppressions
from clarion.ports.control_keys import Keys
from clarion.ports.control_users import Consents, Topics, Users
from clarion.ports.documents import Documents
from clarion.ports.people import People


class TenantRecord(msgspec.Struct, frozen=True):
    """A tenant. `defaults` are its default preferences: category (or `*`) to channel (or `*`) to allowed."""

    tenant: str
    name: str
    defaults: dict[str, dict[str, bool]]
    created_ms: int
    updated_ms: int


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

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that user tokens are signed with."""
        ...

    async def rotate_token_key(self, tenant: str, overlap_ms: int) -> TokenKey:
        """Begin another key for user tokens; tokens of the one before are valid until the overlap ends, older ones no
        more."""
        ...


class QuotaSettings(Protocol):
    """The quotas of tenants and of single keys; the key id of a tenant's own quota is empty."""

    async def put(self, tenant: str, key_id: str, quota: Quota) -> None:
        """Replace a quota; one without any limit removes it. Raises `NotFound` when there is no such tenant or key."""
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
        """The history of the users' consents."""
        ...

    @property
    def topics(self) -> Topics:
        """The topics and their members."""
        ...

    @property
    def providers(self) -> Providers:
        """The provider accounts."""
        ...

    @property
    def documents(self) -> Documents:
        """The documents of tenants: categories, templates, layouts, workflows, segments, schedules and all the like."""
        ...

    @property
    def people(self) -> People:
        """The people who may sign in."""
        ...

    @property
    def audiences(self) -> Audiences:
        """The counter of audiences."""
        ...

    @property
    def suppressions(self) -> Suppressions:
        """The suppressed addresses."""
        ...

    async def close(self) -> None:
        """Finish running work and close."""
        ...
