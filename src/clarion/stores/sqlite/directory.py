"""The read side of `control.db` for planning and delivery: hand-written SQL, memory-mapped, run on the calling thread.

Definitions are cached per tenant and key, and a tenant's cache is dropped when its revision changes. Revisions are
checked at most every `REVISION_CHECK_MS`, and at once after a change by this process. Users and suppressions are never
cached.
"""

import hmac
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack, cast

import apsw
import msgspec

from clarion.domain.address import suppression_key
from clarion.domain.api_key import ApiKey, key_digest, key_id_of
from clarion.domain.channel import CHANNELS
from clarion.domain.content import CATEGORY_KIND, Account, Category, Template, read_category
from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX, PROFILE_CACHE_MAX, REVISION_CHECK_MS
from clarion.domain.networks import comparable
from clarion.domain.preferences import read_preferences, read_quiet_hours
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.token_key import TokenKey
from clarion.domain.user import Device, Profile, User
from clarion.ports.clock import Clock
from clarion.ports.directory import OPERATOR_LEVEL, D, Defined, DefinitionKey, UserPage
from clarion.ports.secrets import Vault
from clarion.runtime.followed import Followed
from clarion.runtime.tenant_cache import TenantCache
from clarion.stores.sqlite.audience_pages import AudienceReader
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.control_engine import RevisionCounter
from clarion.stores.sqlite.directory_accounts import AccountReader
from clarion.stores.sqlite.directory_definitions import DefinitionReader
from clarion.stores.sqlite.directory_templates import TemplateReader
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.segment_sql import condition, install

_LOG: Final = logging.getLogger("clarion.directory")
T = TypeVar("T")
A = TypeVarTuple("A")
_Defaults = dict[str, dict[str, bool]]

_USERS: Final = """
SELECT u.user_id, u.ordinal, u.profile_id, u.email, u.phone, u.whatsapp, u.chat, u.webhook, u.locale, u.zone,
       u.devices, u.attributes, u.more_contacts
FROM json_each(?) j CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value
"""
_ORDINALS: Final = """
SELECT u.user_id, u.ordinal FROM json_each(?) j CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value
"""
_ORDINAL: Final = "SELECT user_id, ordinal FROM users WHERE tenant = ? AND user_id = ?"
_PROFILES: Final = """
SELECT p.profile_id, p.zone, p.preferences, p.quiet_hours
FROM json_each(?) j CROSS JOIN profiles p ON p.profile_id = j.value
"""
_SUPPRESSED: Final = """
SELECT s.address, s.reason FROM json_each(?) j CROSS JOIN suppressions s
ON s.tenant = ? AND s.channel = ? AND s.address = j.value WHERE s.expires_ms IS NULL OR s.expires_ms > ?
"""
_SUPPRESSING: Final = """
SELECT t.value, c.value FROM json_each(?) t CROSS JOIN json_each(?) c
WHERE EXISTS (SELECT 1 FROM suppressions WHERE tenant = t.value AND channel = c.value)
"""
_KEY: Final = (
    "SELECT tenant, digest, scopes, expires_ms, networks FROM api_keys WHERE key_id = ? AND revoked_ms IS NULL"
)
_TOKEN_KEY: Final = "SELECT generation, previous_until_ms FROM token_keys WHERE tenant = ?"  # noqa: S105 - a query
_REVISIONS: Final = "SELECT tenant, number FROM tenant_revisions WHERE number > ?"
_QUOTAS: Final = "SELECT key_id, quota FROM quotas WHERE tenant = ?"

_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, Any])
_QUOTA: Final = msgspec.json.Decoder(Quota)
_DEFAULTS: Final = msgspec.json.Decoder(_Defaults)
_CONTACTS: Final = msgspec.json.Decoder(dict[str, tuple[str, ...]])
_NO_ATTRIBUTES: Final[dict[str, Any]] = {}
_NO_CONTACTS: Final[dict[str, tuple[str, ...]]] = {}
_CATEGORY: Final = "SELECT key, body FROM documents WHERE tenant = ? AND kind = ? AND key = ? AND removed = 0"
_TOPIC: Final = "SELECT 1 FROM topics WHERE tenant = ? AND key = ?"
_DEFAULT: Final = "SELECT defaults FROM tenants WHERE tenant = ?"


class _Key(msgspec.Struct, frozen=True):
    digest: bytes
    key: ApiKey


class SqliteDirectory(Followed):
    """Implements `ports/directory.py` over a connection that only reads. Used by one thread at a time."""

    def __init__(self, db: apsw.Connection, vault: Vault, clock: Clock, changes: RevisionCounter) -> None:
        """`changes` counts the changes of definitions by this process (`SqliteControl.changes`)."""
        super().__init__()
        self._changes = changes
        self._db = db
        install(db)
        self._clock = clock
        self._profiles: dict[int, Profile] = {}
        self._definitions = DefinitionReader(self._rows)
        self._templates = TemplateReader(self._rows)
        self._accounts = AccountReader(self._rows, vault)
        self._audiences = AudienceReader(self._rows, clock.monotonic_ms)
        self._cache: TenantCache[dict[tuple[str, ...], Any]] = TenantCache(_Revised(self), DIRECTORY_CACHE_MAX, dict)
        self._seen_change = self._changes.count
        self._seen_commit = self._commit_counter()  # before the revision, or a commit in between would be missed
        self._revision = self._read_revision()
        self._revisions: dict[str, int] = dict(self._rows(_REVISIONS, (0,)))
        self._checked_ms = self._learned_ms = clock.monotonic_ms()

    @classmethod
    def of_file(
        cls, data_dir: Path, vault: Vault, clock: Clock, changes: RevisionCounter | None = None
    ) -> "SqliteDirectory":
        """Open the file of an installation."""
        db = connect(path_of(data_dir, "control"), readonly=True, mmap=True)
        return cls(db, vault, clock, changes or RevisionCounter())

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        """Return those of the users that exist, by tenant and user id."""
        self._refresh()
        return {tenant: self._users(tenant, user_ids) for tenant, user_ids in wanted.items()}

    async def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change, so they are cached without expiry."""
        wanted = set(profile_ids)
        missing = wanted - self._profiles.keys()
        if missing:
            if len(self._profiles) + len(missing) > PROFILE_CACHE_MAX:
                self._profiles = {key: self._profiles[key] for key in wanted - missing}
            for profile_id, zone, preferences, quiet in self._rows(_PROFILES, (_json(list(missing)),)):
                profile = Profile(profile_id, zone, read_preferences(preferences), read_quiet_hours(quiet))
                self._profiles[profile_id] = profile
        known = self._profiles
        return {profile_id: known[profile_id] for profile_id in wanted if profile_id in known}

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
        matching = None if filter_ is None else condition(filter_, tenant, self._clock.now_ms())
        return self._audiences.page(tenant, topic, after_ordinal, limit, columns, matching)

    async def ordinals(self, tenant: str, user_ids: Collection[str]) -> dict[str, int]:
        """Return the ordinals of those of the users that exist, by user id."""
        if len(user_ids) == 1:  # the most frequent case, at half the cost
            return dict(self._rows(_ORDINAL, (tenant, *user_ids)))
        return dict(self._rows(_ORDINALS, (_json(user_ids), tenant)))

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        """Return the current versions of templates by (tenant, key), or for `key@3` that version. An unchanged template
        is returned as the same object."""
        read = self._templates.read
        found = ((name, self._definition(name[0], ("template", name[1]), read, *name)) for name in names)
        return {name: template for name, template in found if template is not None}

    async def categories(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Category]:
        """Return categories by (tenant, key)."""
        found = ((name, self._definition(name[0], ("category", name[1]), self._category, *name)) for name in names)
        return {name: category for name, category in found if category is not None}

    async def topics(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the topics, by (tenant, key), that exist."""
        return {name for name in names if self._definition(name[0], ("topic", name[1]), self._topic, *name)}

    async def accounts(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Account]]:
        """Return the enabled accounts of each (tenant, channel) with credentials decrypted, preferred first. An account
        whose credentials cannot be decrypted is omitted and logged, so that it does not stop the other accounts."""
        read = self._accounts.of
        return {place: self._definition(place[0], ("accounts", place[1]), read, *place) or [] for place in places}

    async def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted, or None when there is none."""
        return self._definition(tenant, ("account", name), self._accounts.named, tenant, name)

    async def defaults(self, tenants: Collection[str]) -> dict[str, _Defaults]:
        """Return the default preferences by tenant: category (or `*`) to channel (or `*`) to whether it is allowed."""
        return {tenant: self._definition(tenant, ("defaults",), self._default, tenant) or {} for tenant in tenants}

    async def suppressed(
        self, wanted: Mapping[tuple[str, str], Collection[str]]
    ) -> dict[tuple[str, str], dict[str, str]]:
        """Return, by (tenant, channel), those of the addresses that are suppressed, with the reason."""
        return {place: self._suppressed(*place, addresses) for place, addresses in wanted.items()}

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """Return, by tenant, the channels on which any address is suppressed."""
        found: dict[str, set[str]] = {tenant: set() for tenant in tenants}
        for tenant, channel in self._rows(_SUPPRESSING, (_json(list(found)), _json(CHANNELS))):
            found[tenant].add(channel)
        return found

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        """Return the newest versions of definitions, or the requested versions even of removed ones."""
        found = ((key, self._defined(*key)) for key in keys)
        return {key: defined for key, defined in found if defined is not None}

    async def definitions_of(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        return self._definition(tenant, ("definitions", kind.KIND), self._definitions.current_all, tenant, kind) or []

    async def api_key(self, secret: str, now_ms: int) -> ApiKey | None:
        """Return the API key that a secret belongs to, or None when it is unknown, revoked or expired."""
        key_id = key_id_of(secret)
        if key_id is None:
            return None
        found = self._definition(OPERATOR_LEVEL, ("key", key_id), self._key, key_id)
        if found is None or not hmac.compare_digest(found.digest, key_digest(secret)):
            return None
        return found.key if found.key.is_valid(now_ms) else None

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that a tenant's user tokens are signed with."""
        return self._definition(tenant, ("token_key",), self._token_key, tenant) or TokenKey()

    async def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's API keys by key id; the tenant's own quota has an empty key id."""
        return self._definition(tenant, ("quotas",), self._quotas, tenant) or {}

    def revision(self, tenant: str) -> int:
        """Return a number that changes with every change of the tenant's definitions that this process has seen."""
        self._asked = True
        return self._known_revision(tenant)

    def is_current(self) -> bool:
        """Return whether the last successful check for changes by other processes was within `REVISION_CHECK_MS`."""
        self._asked = True
        if self._clock.monotonic_ms() - self._learned_ms < REVISION_CHECK_MS:
            return True
        self._behind()
        return False

    async def refresh(self) -> None:
        """Check for changes of definitions by other processes, so that readers do not have to."""
        self._check()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _users(self, tenant: str, user_ids: Collection[str]) -> dict[str, User]:
        found = {}
        for *values, devices, attributes, contacts in self._rows(_USERS, (_json(user_ids), tenant)):
            values.append(_DEVICES.decode(devices) if devices else ())
            values.append(_ATTRIBUTES.decode(attributes) if attributes else _NO_ATTRIBUTES)
            values.append(_CONTACTS.decode(contacts) if contacts else _NO_CONTACTS)
            found[values[0]] = User(*values)
        return found

    def _suppressed(self, tenant: str, channel: str, addresses: Collection[str]) -> dict[str, str]:
        keys = {address: suppression_key(channel, address) for address in addresses}
        values = (_json(list(keys.values())), tenant, channel, self._clock.now_ms())
        reasons: dict[str, str] = dict(self._rows(_SUPPRESSED, values))
        return {address: reasons[key] for address, key in keys.items() if key in reasons} if reasons else {}

    def _category(self, tenant: str, key: str) -> Category | None:
        return self._one(_CATEGORY, (tenant, CATEGORY_KIND, key), lambda row: read_category(*row))

    def _topic(self, tenant: str, key: str) -> bool | None:
        return self._one(_TOPIC, (tenant, key), bool)

    def _default(self, tenant: str) -> _Defaults | None:
        return self._one(_DEFAULT, (tenant,), lambda row: _DEFAULTS.decode(row[0]))

    def _key(self, key_id: str) -> _Key | None:
        return self._one(_KEY, (key_id,), lambda row: _key(key_id, row))

    def _token_key(self, tenant: str) -> TokenKey:
        # Never None, so that it is cached for tenants whose key was never rotated, too.
        return self._one(_TOKEN_KEY, (tenant,), lambda row: TokenKey(*row)) or TokenKey()

    def _quotas(self, tenant: str) -> dict[str, Quota]:
        return {key_id: _QUOTA.decode(text) for key_id, text in self._rows(_QUOTAS, (tenant,))}

    def _defined(self, tenant: str, kind: type[D], key: str, version: int | None) -> Defined[D] | None:
        if version is not None:
            return self._definitions.version(tenant, kind, key, version)
        return self._definition(tenant, ("definition", kind.KIND, key), self._definitions.current, tenant, kind, key)

    def _definition(
        self, tenant: str, key: tuple[str, ...], read: Callable[[Unpack[A]], T | None], *asked: *A
    ) -> T | None:
        """Return a definition from the cache or the file, or None when it does not exist. Missing keys are not cached:
        invented keys would fill the cache."""
        self._refresh()
        cached = self._cache.of(tenant)
        found = cast("T | None", cached.get(key))
        if found is None:
            found = read(*asked)
            if found is not None:
                cached[key] = found
                self._cache.keep(tenant, cached, len(cached))
        return found

    def _known_revision(self, tenant: str) -> int:
        return max(self._revisions.get(tenant, 0), self._changes.revisions.get(tenant, 0))

    def _refresh(self) -> None:
        if (
            self._changes.count != self._seen_change
            or self._clock.monotonic_ms() - self._checked_ms >= REVISION_CHECK_MS
        ):
            self._check()

    def _check(self) -> None:
        seen = self._changes.count
        self._checked_ms = self._clock.monotonic_ms()
        commit = self._commit_counter()
        if commit != self._seen_commit:
            for tenant, number in self._rows(_REVISIONS, (self._revision,)):
                self._revisions[tenant] = number
                self._revision = max(self._revision, number)
            self._seen_commit = commit
        self._seen_change, self._learned_ms = seen, self._checked_ms  # only now: a failed check is retried

    def _commit_counter(self) -> int:
        # The number changes with every commit of another connection; reading it costs less than a query.
        ((number,),) = self._rows("PRAGMA data_version", ())
        return int(number)

    def _read_revision(self) -> int:
        return int(self._db.execute("SELECT number FROM revisions").get)

    def _rows(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._db.execute(text, values).fetchall()
        except apsw.Error as error:
            raise StoreUnavailable(f"control store: {error}") from error

    def _one(self, text: str, values: tuple[str, ...], read: Callable[[tuple[Any, ...]], T]) -> T | None:
        row = next(iter(self._rows(text, values)), None)
        return None if row is None else read(row)


class _Revised:
    """The revisions that a directory knows after its own check."""

    def __init__(self, directory: SqliteDirectory) -> None:
        self.revision = directory._known_revision

    def is_current(self) -> bool:
        """Return True: whoever asks has just checked."""
        return True


def _json(values: Collection[object]) -> str:
    return msgspec.json.encode(values if isinstance(values, list | tuple) else list(values)).decode()


def _key(key_id: str, row: tuple[Any, ...]) -> _Key:
    tenant, digest, scopes, expires_ms, networks = row
    may, where = tuple(msgspec.json.decode(scopes)), comparable(msgspec.json.decode(networks))
    return _Key(digest, ApiKey(tenant, key_id, may, expires_ms, where))
