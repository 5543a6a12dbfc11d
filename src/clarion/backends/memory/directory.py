"""What planning and delivery read of the control store in memory: always current, so nothing has to be looked at again."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.backends.memory.control_audiences import audience, check_columns, filtered_page, matching, page
from clarion.backends.memory.control_state import ControlState, StoredUser
from clarion.backends.memory.control_users import devices_of
from clarion.backends.memory.directory_definitions import AccountReader, DefinitionReader, TemplateReader
from clarion.domain.address import suppression_key
from clarion.domain.api_key import key_digest, key_id_of
from clarion.domain.content import Account, Category, Template
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.user import Profile, User
from clarion.ports.clock import Clock
from clarion.ports.directory import D, Defined, UserPage
from clarion.ports.secrets import Vault
from clarion.ports.web import Caller

_CONTACTS: Final = msgspec.json.Decoder(dict[str, tuple[str, ...]])


class MemoryDirectory:
    """Implements `ports/directory.py` over the state of a `MemoryControl`, for the same event loop."""

    def __init__(self, state: ControlState, vault: Vault, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._definitions = DefinitionReader(state)
        self._templates = TemplateReader(state)
        self._accounts = AccountReader(state, vault)

    def users(self, tenant: str, user_ids: Sequence[str]) -> dict[str, User]:
        """Return the known users among up to 1,000 ids."""
        users = self._state.people[tenant].users
        return {user_id: _user(users[user_id]) for user_id in user_ids if user_id in users}

    def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change once made."""
        known = self._state.profiles
        return {profile_id: known[profile_id] for profile_id in profile_ids if profile_id in known}

    def page(
        self,
        tenant: str,
        topic: str | None,
        after_ordinal: int,
        limit: int,
        columns: Sequence[str] = (),
        filter_: Filter | None = None,
    ) -> UserPage:
        """Return up to `limit` users of the tenant or topic, those that match; a filtered page may be short."""
        check_columns(tuple(columns))
        users = audience(self._state, tenant, topic, after_ordinal)
        if filter_ is None:
            return page(users, after_ordinal, limit, tuple(columns))
        found = matching(self._state, tenant, filter_, self._clock.now_ms())
        return filtered_page(users, after_ordinal, limit, tuple(columns), found, self._clock.monotonic_ms)

    def ordinals(self, tenant: str, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ordinals of the known users among the ids."""
        return self._state.ordinals(tenant, user_ids)

    def template(self, tenant: str, key: str) -> Template | None:
        """Return the current version of a template, or of `key@3` that one. The same object as before unless something of
        it changed."""
        return self._templates.read(tenant, key)

    def category(self, tenant: str, key: str) -> Category | None:
        """Return a category by key."""
        return self._state.categories[tenant].get(key)

    def topic_exists(self, tenant: str, key: str) -> bool:
        """Return whether the tenant has that topic."""
        return key in self._state.topics[tenant]

    def accounts(self, tenant: str, channel: str) -> list[Account]:
        """Return the tenant's enabled accounts of a channel with credentials decrypted, preferred first. One whose
        credentials do not open is left out and logged: it must not stop the others."""
        return self._accounts.of(tenant, channel)

    def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted."""
        return self._accounts.named(tenant, name)

    def defaults(self, tenant: str) -> dict[str, dict[str, bool]]:
        """Return the tenant's default preferences: category (or `*`) to channel (or `*`) to allowed."""
        found = self._state.tenants.get(tenant)
        return {} if found is None else found.defaults

    def suppressed(self, tenant: str, channel: str, addresses: Sequence[str]) -> dict[str, str]:
        """Return the suppressed ones among the addresses with the reason they were suppressed for."""
        known, now = self._state.suppressions[tenant], self._clock.now_ms()
        found = ((address, known.get((channel, suppression_key(channel, address)))) for address in addresses)
        return {
            address: entry.reason
            for address, entry in found
            if entry is not None and (entry.expires_ms is None or entry.expires_ms > now)
        }

    def has_suppressions(self, tenant: str, channel: str) -> bool:
        """Return whether the tenant has any suppression on the channel, so a page can skip the look-up."""
        return any(place[0] == channel for place in self._state.suppressions[tenant])

    def definition(self, tenant: str, kind: type[D], key: str, version: int | None = None) -> Defined[D] | None:
        """Return the newest version of a definition, or the one asked for even if it was removed since."""
        return self._definitions.one(tenant, kind, key, version)

    def definitions(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        return self._definitions.all(tenant, kind)

    def caller(self, secret: str, now_ms: int) -> Caller | None:
        """Return whose API key a secret is, or None when it is unknown, revoked or expired."""
        key_id = key_id_of(secret)
        key = None if key_id is None else self._state.keys.get(key_id)
        if key is None or not hmac.compare_digest(key.digest, key_digest(secret)):
            return None
        record = key.record
        if record.revoked_ms is not None or (record.expires_ms is not None and now_ms >= record.expires_ms):
            return None
        return Caller(record.tenant, record.key_id, frozenset(record.scopes))

    def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own under an empty one."""
        return self._state.quotas[tenant]

    def revision(self, tenant: str | None = None) -> int:
        """Return a number that changes whenever a definition of the tenant (without one: anything at all) changed."""
        return self._state.revision if tenant is None else self._state.revisions.get(tenant, 0)

    async def learn(self) -> None:
        """Nobody else defines anything."""

    def close(self) -> None:
        """Nothing is open."""


def _user(user: StoredUser) -> User:
    attributes: dict[str, Any] = msgspec.json.decode(user.attributes or "{}")
    return User(
        user.user_id, user.ordinal, user.profile_id, user.email, user.phone, user.whatsapp, user.chat, user.webhook,
        user.locale, user.zone, devices_of(user), attributes, _CONTACTS.decode(user.more_contacts or "{}"),
    )  # fmt: skip
