"""The data of the control store in memory: dictionaries by tenant, shared by its repositories and the directory.

A change is checked first and made then, without awaiting in between, so each call is atomic on its event loop.
Arguments are stored encoded or copied: the caller may change them later.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import msgspec

from clarion.domain.person import Link, Person, Session
from clarion.domain.quota import Quota
from clarion.domain.token_key import TokenKey
from clarion.domain.user import Profile
from clarion.ports.control import TenantRecord
from clarion.ports.control_accounts import ProviderRecord, Suppression
from clarion.ports.control_keys import KeyRecord
from clarion.ports.control_users import ConsentRecord, TopicRecord
from clarion.ports.documents import AuditRow, Document, DocumentKey

S = TypeVar("S", bound=msgspec.Struct)


class StoredKey(msgspec.Struct, frozen=True):
    """An API key with the digest of its secret, the networks that it was used from with the last time, and when its
    expiry was last announced."""

    record: KeyRecord
    digest: bytes
    networks: dict[str, int] = {}
    warned_ms: int | None = None


class ProfileKey(NamedTuple):
    """The values that identify a profile; preferences and quiet hours are canonical JSON."""

    tenant: str
    zone: str
    preferences: str
    quiet_hours: str


class StoredUser(msgspec.Struct, frozen=True):
    """A user. `devices` is MessagePack; `attributes` and `more_contacts` are JSON."""

    ordinal: int
    user_id: str
    profile_id: int
    email: str | None
    phone: str | None
    whatsapp: str | None
    chat: str | None
    webhook: str | None
    locale: str
    zone: str
    devices: bytes | None
    attributes: str | None
    more_contacts: str | None
    last_seen_ms: int | None
    created_ms: int
    updated_ms: int


class People:
    """The users of a tenant by id and by ordinal."""

    def __init__(self) -> None:
        self.users: dict[str, StoredUser] = {}
        self.ids: dict[int, str] = {}
        self.ordinals: list[int] = []
        self.consents: dict[int, list[ConsentRecord]] = defaultdict(list)

    def keep(self, user: StoredUser) -> None:
        """Store a user; a new one has a higher ordinal than all before."""
        if user.user_id not in self.users:
            self.ids[user.ordinal] = user.user_id
            self.ordinals.append(user.ordinal)
        self.users[user.user_id] = user

    def remove(self, user: StoredUser) -> None:
        """Remove a user and the history of its consents."""
        del self.users[user.user_id], self.ids[user.ordinal]
        self.ordinals.remove(user.ordinal)
        self.consents.pop(user.ordinal, None)


class StoredTopic(msgspec.Struct):
    """A topic and the ordinals of its members, ascending."""

    record: TopicRecord
    members: list[int] = []

    def has(self, ordinal: int) -> bool:
        """Return whether a user is a member."""
        place = bisect_right(self.members, ordinal)
        return place > 0 and self.members[place - 1] == ordinal

    def join(self, ordinal: int) -> bool:
        """Add a user; return whether the user was not a member yet."""
        new = not self.has(ordinal)
        if new:
            self.members.insert(bisect_right(self.members, ordinal), ordinal)
        return new

    def leave(self, ordinal: int) -> bool:
        """Remove a user; return whether the user was a member."""
        there = self.has(ordinal)
        if there:
            self.members.remove(ordinal)
        return there


class StoredProvider(msgspec.Struct, frozen=True):
    """A provider account with its credentials sealed."""

    record: ProviderRecord
    sealed: bytes


class ControlState:
    """All definitions of tenants. A revision is the number of the last change of a tenant's definitions; operator-level
    records (tenants, keys) have their own revision, under an empty tenant."""

    def __init__(self) -> None:
        self.revision = 0
        self.revisions: dict[str, int] = {}
        self.tenants: dict[str, TenantRecord] = {}
        self.keys: dict[str, StoredKey] = {}
        self.quotas: dict[str, dict[str, Quota]] = defaultdict(dict)
        self.token_keys: dict[str, TokenKey] = {}
        self.people: dict[str, People] = defaultdict(People)
        self.last_ordinal = 0
        self.profile_ids: dict[ProfileKey, int] = {}
        self.profile_keys: dict[int, ProfileKey] = {}
        self.profiles: dict[int, Profile] = {}
        self.topics: dict[str, dict[str, StoredTopic]] = defaultdict(dict)
        self.providers: dict[str, dict[str, StoredProvider]] = defaultdict(dict)
        self.documents: dict[DocumentKey, Document] = {}
        self.document_versions: dict[DocumentKey, dict[int, Document]] = defaultdict(dict)
        self.references: dict[DocumentKey, frozenset[tuple[str, str]]] = {}
        self.artifacts: dict[DocumentKey, bytes] = {}
        self.audit: dict[str, list[AuditRow]] = defaultdict(list)
        self.suppressions: dict[str, dict[tuple[str, str], Suppression]] = defaultdict(dict)
        self.persons: dict[str, Person] = {}
        self.subjects: dict[tuple[str, str], str] = {}
        self.sessions: dict[bytes, Session] = {}
        self.links: dict[bytes, Link] = {}

    def changed(self, tenant: str) -> None:
        """Count a change of a tenant's definitions; the empty tenant is that of operator-level records."""
        self.revision += 1
        self.revisions[tenant] = self.revision

    def ordinals(self, tenant: str, user_ids: Iterable[str]) -> dict[str, int]:
        """Return the ordinals of those of the users that exist, by user id."""
        users = self.people[tenant].users
        return {user_id: users[user_id].ordinal for user_id in user_ids if user_id in users}


def copied(value: S) -> S:
    """Return a copy of a value through JSON, which shares nothing with the original."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def keys_after(mapping: dict[str, Any], after: str, limit: int) -> list[str]:
    """Return up to `limit` keys above one, in order."""
    return sorted(key for key in mapping if key > after)[:limit]
