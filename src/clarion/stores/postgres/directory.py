"""The read side of the control store on PostgreSQL for planning and delivery.

A batch takes one statement, for those of its definitions that are not cached; definitions are cached until the revision of
their tenant changes (`directory_revisions.py`). Users and suppressions are never cached.
"""

import hmac
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from clarion.domain.api_key import ApiKey, key_digest, key_id_of
from clarion.domain.content import Account, Category, Template
from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.domain.networks import comparable
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.token_key import TokenKey
from clarion.domain.user import Profile, User
from clarion.ports.clock import Clock
from clarion.ports.directory import OPERATOR_LEVEL, D, Defined, DefinitionKey, UserPage
from clarion.ports.secrets import Vault
from clarion.runtime.followed import Followed
from clarion.runtime.tenant_cache import TenantCache
from clarion.stores.postgres.audience_pages import Audience, AudienceReader
from clarion.stores.postgres.control_engine import RevisionCounter, is_storable
from clarion.stores.postgres.directory_people import PeopleReader
from clarion.stores.postgres.directory_reads import DefinitionReader, Name
from clarion.stores.postgres.directory_revisions import Revisions
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import NO_TENANT

T = TypeVar("T")
P = TypeVar("P", bound=tuple[Any, ...])
_Defaults = dict[str, dict[str, bool]]

_DEFAULT: Final = "SELECT tenant, defaults FROM tenants WHERE tenant = ANY($1::text[])"
_KEY: Final = "SELECT tenant, digest, scopes, expires_ms, networks FROM key_by_id($1)"
_TOKEN_KEY: Final = "SELECT generation, previous_until_ms FROM token_keys WHERE tenant = $1"  # noqa: S105 - a query
_QUOTAS: Final = "SELECT key_id, quota FROM quotas WHERE tenant = $1"
_QUOTA: Final = msgspec.json.Decoder(Quota)
_DEFAULTS: Final = msgspec.json.Decoder(_Defaults)


class _Key(msgspec.Struct, frozen=True):
    digest: bytes
    key: ApiKey


class PostgresDirectory(Followed):
    """Implements `ports/directory.py`. The database belongs to the control store, which closes it."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, changes: RevisionCounter | None = None) -> None:
        """`changes` counts the changes of definitions by this process (`PostgresControl.changes`)."""
        super().__init__()
        self._database = database
        self._clock = clock
        self._people = PeopleReader(database, clock)
        self._audiences = AudienceReader(database, clock.monotonic_ms)
        self._reader = DefinitionReader(database, vault)
        self._revisions = Revisions(database, clock.monotonic_ms, changes or RevisionCounter())
        self._cache: TenantCache[dict[tuple[Any, ...], Any]] = TenantCache(self._revisions, DIRECTORY_CACHE_MAX, dict)
        self._versions: dict[DefinitionKey, Defined[Any]] = {}

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        """Return those of the users that exist, by tenant and user id, and keep their profiles for `profiles`."""
        return await self._people.users(wanted)

    async def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change, so they are cached without expiry."""
        return await self._people.profiles(profile_ids)

    async def page(
        self,
        tenant: str,
        topic: str | None,
        after_ordinal: int,
        limit: int,
        columns: Sequence[str] = (),
        filter_: Filter | None = None,
    ) -> UserPage:
        """Return a page of up to `limit` matching users of the tenant or topic; a filtered page may hold fewer."""
        audience = Audience(tenant, topic, filter_, self._clock.now_ms())
        return await self._audiences.page(audience, after_ordinal, limit, columns)

    async def ordinals(self, tenant: str, user_ids: Collection[str]) -> dict[str, int]:
        """Return the ordinals of those of the users that exist, by user id."""
        return await self._people.ordinals(tenant, user_ids)

    async def templates(self, names: Collection[Name]) -> dict[Name, Template]:
        """Return the current versions of templates by (tenant, key), or for `key@3` that version. An unchanged template
        is returned as the same object."""
        return await self._definitions("template", names, self._reader.templates)

    async def categories(self, names: Collection[Name]) -> dict[Name, Category]:
        """Return categories by (tenant, key)."""
        return await self._definitions("category", names, self._reader.categories)

    async def topics(self, names: Collection[Name]) -> set[Name]:
        """Return those of the topics, by (tenant, key), that exist."""
        return set(await self._definitions("topic", names, self._reader.topics))

    async def accounts(self, places: Collection[Name]) -> dict[Name, list[Account]]:
        """Return the enabled accounts of each (tenant, channel) with credentials decrypted, preferred first. An account
        whose credentials cannot be decrypted is omitted and logged, so that it does not stop the other accounts."""
        return await self._definitions("accounts", places, self._reader.accounts)

    async def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted, or None when there is none."""
        found = await self._definitions("account", [(tenant, name)], self._reader.named_accounts)
        return found.get((tenant, name))

    async def defaults(self, tenants: Collection[str]) -> dict[str, _Defaults]:
        """Return the default preferences by tenant: category (or `*`) to channel (or `*`) to whether it is allowed."""
        found = await self._definitions("defaults", [(tenant,) for tenant in tenants], self._read_defaults)
        return {tenant: found.get((tenant,), {}) for tenant in tenants}

    async def suppressed(self, wanted: Mapping[Name, Collection[str]]) -> dict[Name, dict[str, str]]:
        """Return, by (tenant, channel), those of the addresses that are suppressed, with the reason."""
        return await self._people.suppressed(wanted)

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """Return, by tenant, the channels on which any address is suppressed."""
        return await self._people.suppressing(tenants)

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        """Return the newest versions of definitions, or the requested versions even of removed ones."""
        given = {key: self._versions[key] for key in keys if key in self._versions}
        found = await self._definitions(
            "definition", [key for key in keys if key not in given], self._reader.definitions
        )
        if len(self._versions) >= DIRECTORY_CACHE_MAX:
            self._versions.clear()
        # A version never changes, so one requested by its number is cached without expiry.
        self._versions |= {key: defined for key, defined in found.items() if key[3] is not None}
        return given | found

    async def definitions_of(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""

        async def read(places: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], list[Defined[D]]]:
            return {place: await self._reader.definitions_of(place[0], kind) for place in places}

        return await self._definition("definitions", (tenant, kind.KIND), read) or []

    async def api_key(self, secret: str, now_ms: int) -> ApiKey | None:
        """Return the API key that a secret belongs to, or None when it is unknown, revoked or expired."""
        key_id = key_id_of(secret)
        if key_id is None:
            return None
        found = await self._definition("key", (OPERATOR_LEVEL, key_id), self._read_key)
        if found is None or not hmac.compare_digest(found.digest, key_digest(secret)):
            return None
        return found.key if found.key.is_valid(now_ms) else None

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that a tenant's user tokens are signed with."""
        return await self._definition("token_key", (tenant,), self._read_token_key) or TokenKey()

    async def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's API keys by key id; the tenant's own quota has an empty key id."""
        return await self._definition("quotas", (tenant,), self._read_quotas) or {}

    def revision(self, tenant: str) -> int:
        """Return a number that changes with every change of the tenant's definitions that this process has seen."""
        self._asked = True
        return self._revisions.revision(tenant)

    def is_current(self) -> bool:
        """Return whether the last successful check for changes by other processes was within `REVISION_CHECK_MS`."""
        self._asked = True
        if self._revisions.is_current():
            return True
        self._behind()
        return False

    async def refresh(self) -> None:
        """Check for changes of definitions by other processes, so that readers do not have to."""
        await self._revisions.learn()

    def close(self) -> None:
        """Do nothing: the connections are the control store's."""

    async def _definitions(
        self,
        kind: str,
        places: Collection[P],
        read: Callable[[Sequence[P]], Awaitable[Mapping[P, T]]],
    ) -> dict[P, T]:
        """Return definitions by place, whose first part is the tenant, from the cache or by one call of `read` for those
        missing there. What does not exist is not cached: invented keys would fill the cache."""
        if not places:
            return {}
        await self._revisions.learn_if_behind()
        cached = {tenant: self._cache.of(tenant) for tenant in {place[0] for place in places}}
        held = {place: cached[place[0]].get((kind, *place[1:])) for place in places}
        found = {place: value for place, value in held.items() if value is not None}
        missing = [place for place in held if place not in found and all(map(is_storable, place))]
        if missing:
            for place, value in (await read(missing)).items():
                of_tenant = cached[place[0]]
                of_tenant[kind, *place[1:]] = found[place] = value
                self._cache.keep(place[0], of_tenant, len(of_tenant))
        return found

    async def _definition(
        self, kind: str, place: P, read: Callable[[Sequence[P]], Awaitable[Mapping[P, T]]]
    ) -> T | None:
        return (await self._definitions(kind, [place], read)).get(place)

    async def _read_defaults(self, places: Sequence[tuple[str]]) -> Mapping[tuple[str], _Defaults]:
        tenants = [tenant for (tenant,) in places]
        rows = await self._database.fetch(tenants, _DEFAULT, tenants)
        return {(tenant,): _DEFAULTS.decode(text) for tenant, text in rows}

    async def _read_key(self, places: Sequence[Name]) -> Mapping[Name, _Key]:
        found = {}
        for place in places:
            row = await self._database.fetchrow(NO_TENANT, _KEY, place[1])
            if row:
                tenant, digest, scopes, expires_ms, networks = row
                may, where = tuple(msgspec.json.decode(scopes)), comparable(msgspec.json.decode(networks))
                found[place] = _Key(digest, ApiKey(tenant, place[1], may, expires_ms, where))
        return found

    async def _read_token_key(self, places: Sequence[tuple[str]]) -> Mapping[tuple[str], TokenKey]:
        # Of every tenant, so that it is cached for those whose key was never rotated, too.
        rows = {place: await self._database.fetchrow(place[0], _TOKEN_KEY, place[0]) for place in places}
        return {place: TokenKey(*(row or ())) for place, row in rows.items()}

    async def _read_quotas(self, places: Sequence[tuple[str]]) -> Mapping[tuple[str], dict[str, Quota]]:
        rows = {place: await self._database.fetch(place[0], _QUOTAS, place[0]) for place in places}
        return {place: {key_id: _QUOTA.decode(text) for key_id, text in found} for place, found in rows.items()}
