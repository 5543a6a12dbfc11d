"""The read side of the control store in memory for planning and delivery: always current, so there is nothing to
refresh."""

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.domain.address import suppression_key
from clarion.domain.api_key import ApiKey, key_digest, key_id_of
from clarion.domain.content import Account, Category, Template
from clarion.domain.networks import comparable
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.token_key import TokenKey
from clarion.domain.user import Profile, User
from clarion.ports.clock import Clock
from clarion.ports.directory import D, Defined, DefinitionKey, UserPage
from clarion.ports.secrets import Vault
from clarion.stores.memory.control_audiences import audience, check_columns, filtered_page, matching, page
from clarion.stores.memory.control_state import ControlState, StoredUser
from clarion.stores.memory.control_users import devices_of
from clarion.stores.memory.directory_definitions import AccountReader, ContentReader, DefinitionReader

_CONTACTS: Final = msgspec.json.Decoder(dict[str, tuple[str, ...]])


class MemoryDirectory:
    """Implements `ports/directory.py` over the state of a `MemoryControl`, for the same event loop."""

    def __init__(self, state: ControlState, vault: Vault, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._definitions = DefinitionReader(state)
        self._contents = ContentReader(state)
        self._accounts = AccountReader(state, vault)

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        """Return those of the users that exist, by tenant and user id."""
        found: dict[str, dict[str, User]] = {}
        for tenant, user_ids in wanted.items():
            users = self._state.people[tenant].users
            found[tenant] = {user_id: _user(users[user_id]) for user_id in user_ids if user_id in users}
        return found

    async def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change."""
        known = self._state.profiles
        return {profile_id: known[profile_id] for profile_id in profile_ids if profile_id in known}

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
        check_columns(tuple(columns))
        users = audience(self._state, tenant, topic, after_ordinal)
        if filter_ is None:
            return page(users, after_ordinal, limit, tuple(columns))
        found = matching(self._state, tenant, filter_, self._clock.now_ms())
        return filtered_page(users, after_ordinal, limit, tuple(columns), found, self._clock.monotonic_ms)

    async def ordinals(self, tenant: str, user_ids: Collection[str]) -> dict[str, int]:
        """Return the ordinals of those of the users that exist, by user id."""
        return self._state.ordinals(tenant, user_ids)

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        """Return the current versions of templates by (tenant, key), or for `key@3` that version. An unchanged template
        is returned as the same object."""
        found = ((name, self._contents.template(*name)) for name in names)
        return {name: template for name, template in found if template is not None}

    async def categories(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Category]:
        """Return categories by (tenant, key)."""
        found = ((name, self._contents.category(*name)) for name in names)
        return {name: category for name, category in found if category is not None}

    async def topics(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the topics, by (tenant, key), that exist."""
        return {(tenant, key) for tenant, key in names if key in self._state.topics[tenant]}

    async def accounts(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Account]]:
        """Return the enabled accounts of each (tenant, channel) with credentials decrypted, preferred first. An account
        whose credentials cannot be decrypted is omitted and logged, so that it does not stop the other accounts."""
        return {place: self._accounts.of(*place) for place in places}

    async def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted, or None when there is none."""
        return self._accounts.named(tenant, name)

    async def defaults(self, tenants: Collection[str]) -> dict[str, dict[str, dict[str, bool]]]:
        """Return the default preferences by tenant: category (or `*`) to channel (or `*`) to whether it is allowed."""
        known = self._state.tenants
        return {tenant: known[tenant].defaults if tenant in known else {} for tenant in tenants}

    async def suppressed(
        self, wanted: Mapping[tuple[str, str], Collection[str]]
    ) -> dict[tuple[str, str], dict[str, str]]:
        """Return, by (tenant, channel), those of the addresses that are suppressed, with the reason."""
        return {place: self._suppressed(*place, addresses) for place, addresses in wanted.items()}

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """Return, by tenant, the channels on which any address is suppressed."""
        return {tenant: {channel for channel, _ in self._state.suppressions[tenant]} for tenant in tenants}

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        """Return the newest versions of definitions, or the requested versions even of removed ones."""
        found = ((key, self._definitions.one(*key)) for key in keys)
        return {key: defined for key, defined in found if defined is not None}

    async def definitions_of(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        return self._definitions.all(tenant, kind)

    async def api_key(self, secret: str, now_ms: int) -> ApiKey | None:
        """Return the API key that a secret belongs to, or None when it is unknown, revoked or expired."""
        key_id = key_id_of(secret)
        key = None if key_id is None else self._state.keys.get(key_id)
        if key is None or not hmac.compare_digest(key.digest, key_digest(secret)):
            return None
        record = key.record
        networks = comparable(record.networks)
        found = ApiKey(record.tenant, record.key_id, record.scopes, record.expires_ms, networks)
        return found if record.revoked_ms is None and found.is_valid(now_ms) else None

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that a tenant's user tokens are signed with."""
        return self._state.token_keys.get(tenant, TokenKey())

    async def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's API keys by key id; the tenant's own quota has an empty key id."""
        return self._state.quotas[tenant]

    def revision(self, tenant: str) -> int:
        """Return a number that changes whenever a definition of the tenant changed."""
        return self._state.revisions.get(tenant, 0)

    def is_current(self) -> bool:
        """Return True: no other process defines anything."""
        return True

    async def refresh(self) -> None:
        """Do nothing: no other process defines anything."""

    def was_asked(self) -> bool:
        """Return False: there is nothing to refresh."""
        return False

    def when_behind(self, call: Callable[[], None]) -> None:
        """Do nothing: the directory is always current."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _suppressed(self, tenant: str, channel: str, addresses: Collection[str]) -> dict[str, str]:
        known, now = self._state.suppressions[tenant], self._clock.now_ms()
        found = ((address, known.get((channel, suppression_key(channel, address)))) for address in addresses)
        return {
            address: entry.reason
            for address, entry in found
            if entry is not None and (entry.expires_ms is None or entry.expires_ms > now)
        }


def _user(user: StoredUser) -> User:
    attributes: dict[str, Any] = msgspec.json.decode(user.attributes or "{}")
    return User(
        user.user_id, user.ordinal, user.profile_id, user.email, user.phone, user.whatsapp, user.chat, user.webhook,
        user.locale, user.zone, devices_of(user), attributes, _CONTACTS.decode(user.more_contacts or "{}"),
    )  # fmt: skip
