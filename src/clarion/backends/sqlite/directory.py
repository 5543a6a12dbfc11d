"""The read side of `control.db` for planning and delivery: SQL by hand, one query a batch, memory-mapped.

Definitions are cached per tenant and key, and a tenant's are dropped when its revision moves. That is looked for every
`REVISION_CHECK_MS` at most, and at once after a change by this process. Users and suppressions are read afresh each time.
"""

import hmac
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import apsw
import msgspec

from clarion.backends.sqlite.audience_pages import AudienceReader
from clarion.backends.sqlite.connection import connect
from clarion.backends.sqlite.control_content import (
    CATEGORY_COLUMNS,
    read_category,
)
from clarion.backends.sqlite.directory_accounts import AccountReader
from clarion.backends.sqlite.directory_definitions import DefinitionReader
from clarion.backends.sqlite.directory_templates import TemplateReader
from clarion.backends.sqlite.migrate import path_of
from clarion.backends.sqlite.segment_sql import condition, install
from clarion.domain.address import suppression_key
from clarion.domain.api_key import key_digest, key_id_of
from clarion.domain.content import Account, Category, Template
from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits import DIRECTORY_CACHE_MAX, PROFILE_CACHE_MAX, REVISION_CHECK_MS
from clarion.domain.preferences import read_preferences, read_quiet_hours
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.user import Device, Profile, User
from clarion.ports.clock import Clock
from clarion.ports.directory import OPERATOR_LEVEL, D, Defined, UserPage
from clarion.ports.secrets import Vault
from clarion.ports.web import Caller

_LOG: Final = logging.getLogger("clarion.directory")
T = TypeVar("T")
_Defaults = dict[str, dict[str, bool]]

_USERS: Final = """
SELECT u.user_id, u.ordinal, u.profile_id, u.email, u.phone, u.whatsapp, u.chat, u.webhook, u.locale, u.zone,
       u.devices, u.attributes, u.more_contacts
FROM json_each(?) j CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value
"""
_ORDINALS: Final = """
SELECT u.user_id, u.ordinal FROM json_each(?) j CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value
"""
_PROFILES: Final = """
SELECT p.profile_id, p.zone, p.preferences, p.quiet_hours
FROM json_each(?) j CROSS JOIN profiles p ON p.profile_id = j.value
"""
_SUPPRESSED: Final = """
SELECT s.address, s.reason FROM json_each(?) j CROSS JOIN suppressions s
ON s.tenant = ? AND s.channel = ? AND s.address = j.value WHERE s.expires_ms IS NULL OR s.expires_ms > ?
"""
_KEY: Final = "SELECT tenant, digest, scopes, expires_ms FROM api_keys WHERE key_id = ? AND revoked_ms IS NULL"
_REVISIONS: Final = "SELECT tenant, number FROM tenant_revisions WHERE number > ?"
_QUOTAS: Final = "SELECT key_id, quota FROM quotas WHERE tenant = ?"

_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, Any])
_QUOTA: Final = msgspec.json.Decoder(Quota)
_DEFAULTS: Final = msgspec.json.Decoder(_Defaults)
_CONTACTS: Final = msgspec.json.Decoder(dict[str, tuple[str, ...]])
_NO_ATTRIBUTES: Final[dict[str, Any]] = {}
_NO_CONTACTS: Final[dict[str, tuple[str, ...]]] = {}


class _Key(msgspec.Struct, frozen=True):
    digest: bytes
    expires_ms: int | None
    caller: Caller


class SqliteDirectory:
    """Implements `ports/directory.py` over a read-only connection. Used by one thread at a time."""

    def __init__(self, data_dir: Path, vault: Vault, clock: Clock, changed: Callable[[], int] = lambda: 0) -> None:
        """`changed` counts the changes of definitions by this process (`SqliteControl.definitions_changed`)."""
        self._changed = changed
        self._db = connect(path_of(data_dir, "control"), readonly=True, mmap=True)
        install(self._db)
        self._clock = clock
        self._profiles: dict[int, Profile] = {}
        self._definitions = DefinitionReader(self._rows)
        self._templates = TemplateReader(self._rows)
        self._accounts = AccountReader(self._rows, vault)
        self._audiences = AudienceReader(self._rows, clock.monotonic_ms)
        self._cached: dict[str, dict[tuple[str, ...], Any]] = {}
        self._cached_count = 0
        self._seen_change = changed()
        self._seen_commit = self._commit_counter()  # before the revision, or a commit in between goes unseen
        self._revision = self._read_revision()
        self._revisions: dict[str, int] = dict(self._rows(_REVISIONS, (0,)))
        self._checked_ms = clock.monotonic_ms()

    def users(self, tenant: str, user_ids: Sequence[str]) -> dict[str, User]:
        """Return the known users among up to 1,000 ids, in one query."""
        found = {}
        for *values, devices, attributes, contacts in self._rows(_USERS, (_json(user_ids), tenant)):
            values.append(_DEVICES.decode(devices) if devices else ())
            values.append(_ATTRIBUTES.decode(attributes) if attributes else _NO_ATTRIBUTES)
            values.append(_CONTACTS.decode(contacts) if contacts else _NO_CONTACTS)
            found[values[0]] = User(*values)
        return found

    def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change once made, so they are cached for good."""
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
        matching = None if filter_ is None else condition(filter_, tenant, self._clock.now_ms())
        return self._audiences.page(tenant, topic, after_ordinal, limit, columns, matching)

    def ordinals(self, tenant: str, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ordinals of the known users among the ids."""
        return dict(self._rows(_ORDINALS, (_json(user_ids), tenant)))

    def template(self, tenant: str, key: str) -> Template | None:
        """Return the current version of a template, or of `key@3` that one. The same object as before unless something of
        it changed."""
        return self._definition(tenant, ("template", key), lambda: self._templates.read(tenant, key))

    def category(self, tenant: str, key: str) -> Category | None:
        """Return a category by key."""
        text = f"SELECT {CATEGORY_COLUMNS} FROM categories WHERE tenant = ? AND key = ?"  # noqa: S608 - a constant
        return self._definition(tenant, ("category", key), lambda: self._one(text, (tenant, key), read_category))

    def topic_exists(self, tenant: str, key: str) -> bool:
        """Return whether the tenant has that topic."""
        text = "SELECT 1 FROM topics WHERE tenant = ? AND key = ?"
        return bool(self._definition(tenant, ("topic", key), lambda: self._one(text, (tenant, key), bool)))

    def accounts(self, tenant: str, channel: str) -> list[Account]:
        """Return the tenant's enabled accounts of a channel with credentials decrypted, preferred first. One whose
        credentials do not open is left out and logged: it must not stop the others."""
        return self._definition(tenant, ("accounts", channel), lambda: self._accounts.of(tenant, channel)) or []

    def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted."""
        return self._definition(tenant, ("account", name), lambda: self._accounts.named(tenant, name))

    def defaults(self, tenant: str) -> _Defaults:
        """Return the tenant's default preferences: category (or `*`) to channel (or `*`) to allowed."""
        text = "SELECT defaults FROM tenants WHERE tenant = ?"
        read = lambda: self._one(text, (tenant,), lambda row: _DEFAULTS.decode(row[0]))  # noqa: E731
        return self._definition(tenant, ("defaults",), read) or {}

    def suppressed(self, tenant: str, channel: str, addresses: Sequence[str]) -> dict[str, str]:
        """Return the suppressed ones among the addresses with the reason they were suppressed for."""
        keys = {address: suppression_key(channel, address) for address in addresses}
        values = (_json(list(keys.values())), tenant, channel, self._clock.now_ms())
        reasons: dict[str, str] = dict(self._rows(_SUPPRESSED, values))
        return {address: reasons[key] for address, key in keys.items() if key in reasons} if reasons else {}

    def has_suppressions(self, tenant: str, channel: str) -> bool:
        """Return whether the tenant has any suppression on the channel, so a page can skip the look-up."""
        text = "SELECT 1 FROM suppressions WHERE tenant = ? AND channel = ? LIMIT 1"
        return bool(self._rows(text, (tenant, channel)))

    def definition(self, tenant: str, kind: type[D], key: str, version: int | None = None) -> Defined[D] | None:
        """Return the newest version of a definition, or the one asked for even if it was removed since."""
        read = self._definitions
        if version is not None:
            return read.version(tenant, kind, key, version)
        return self._definition(tenant, ("definition", kind.KIND, key), lambda: read.current(tenant, kind, key))

    def definitions(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        read = self._definitions
        return self._definition(tenant, ("definitions", kind.KIND), lambda: read.current_all(tenant, kind)) or []

    def caller(self, secret: str, now_ms: int) -> Caller | None:
        """Return whose API key a secret is, or None when it is unknown, revoked or expired."""
        key_id = key_id_of(secret)
        if key_id is None:
            return None
        key = self._definition(
            OPERATOR_LEVEL, ("key", key_id), lambda: self._one(_KEY, (key_id,), lambda row: _key(key_id, row))
        )
        if key is None or not hmac.compare_digest(key.digest, key_digest(secret)):
            return None
        return key.caller if key.expires_ms is None or now_ms < key.expires_ms else None

    def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own under an empty one."""
        read = lambda: {key_id: _QUOTA.decode(text) for key_id, text in self._rows(_QUOTAS, (tenant,))}  # noqa: E731
        return self._definition(tenant, ("quotas",), read) or {}

    def revision(self, tenant: str | None = None) -> int:
        """Return a number that changes whenever a definition of the tenant changed, as far as is known here; without one,
        whenever anything did, and the store is asked each time."""
        if tenant is None:
            self._check()
            return self._revision
        self._refresh()
        return self._revisions.get(tenant, 0)

    async def learn(self) -> None:
        """Learn what was defined elsewhere, so that nobody who reads has to look for it."""
        self._check()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _definition(self, tenant: str, key: tuple[str, ...], read: Callable[[], T | None]) -> T | None:
        """Return a cached definition or read it. What does not exist is not cached: made-up keys would fill it."""
        self._refresh()
        found = cast("T | None", self._cached.get(tenant, {}).get(key))
        if found is None:
            found = read()
            if found is not None:
                if self._cached_count >= DIRECTORY_CACHE_MAX:
                    self._cached.clear()
                    self._cached_count = 0
                self._cached.setdefault(tenant, {})[key] = found
                self._cached_count += 1
        return found

    def _refresh(self) -> None:
        if self._changed() != self._seen_change or self._clock.monotonic_ms() - self._checked_ms >= REVISION_CHECK_MS:
            self._check()

    def _check(self) -> None:
        self._seen_change = self._changed()
        self._checked_ms = self._clock.monotonic_ms()
        commit = self._commit_counter()
        if commit == self._seen_commit:
            return
        for tenant, number in self._rows(_REVISIONS, (self._revision,)):
            self._revisions[tenant] = number
            self._revision = max(self._revision, number)
            self._cached_count -= len(self._cached.pop(tenant, ()))
        self._seen_commit = commit

    def _commit_counter(self) -> int:
        # Changes with every commit of another connection and costs less than a query.
        return int(self._db.execute("PRAGMA data_version").get)

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


def _json(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()


def _key(key_id: str, row: tuple[Any, ...]) -> _Key:
    tenant, digest, scopes, expires_ms = row
    return _Key(digest, expires_ms, Caller(tenant, key_id, frozenset(msgspec.json.decode(scopes))))
