"""Repositories of users and topics. A user's preferences and zone are in its profile, shared by all users with the same
values."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from clarion.domain.quiet import QuietHours
from clarion.domain.user import Choice, Device, UserWrite


class UserRecord(msgspec.Struct, frozen=True):
    """A user as stored. `quiet_hours` of None are the tenant's."""

    user_id: str
    email: str | None
    phone: str | None
    whatsapp: str | None
    chat: str | None
    webhook: str | None
    locale: str
    zone: str
    attributes: dict[str, Any]
    preferences: dict[str, dict[str, bool | Choice]]
    quiet_hours: QuietHours | None
    devices: tuple[Device, ...]
    more_contacts: dict[str, tuple[str, ...]]
    last_seen_ms: int | None
    created_ms: int
    updated_ms: int


class Users(Protocol):
    """The users of a tenant."""

    async def put_many(self, tenant: str, users: Sequence[UserWrite], source: str = "") -> None:
        """Create or replace users in one transaction; of two with the same id the later one counts. `source` is stored
        with each changed preference. Raises `NotFound` with nothing stored when a topic does not exist."""
        ...

    async def get(self, tenant: str, user_id: str) -> UserRecord | None:
        """Return a user."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[UserRecord]:
        """Return users in the order of their ids."""
        ...

    async def erase(self, tenant: str, user_id: str) -> bool:
        """Remove a user with all their data; return whether it existed. Its ordinal is never used again."""
        ...

    async def set_preferences(self, tenant: str, user_id: str, preferences: str, source: str = "") -> bool:
        """Replace the preferences (canonical JSON) of a user, as set by `source`; return False when there is no such
        user."""
        ...

    async def set_quiet_hours(self, tenant: str, user_id: str, quiet_hours: str) -> bool:
        """Replace the quiet hours (canonical JSON, empty for the tenant's) of a user; False when there is no such user."""
        ...

    async def touch(self, tenant: str, user_id: str) -> None:
        """Record that a user was seen now; written at most every `SEEN_EVERY_MS`."""
        ...

    async def put_device(self, tenant: str, user_id: str, device: Device) -> bool:
        """Add or replace a device; False when there is no such user. Raises `Conflict` over `DEVICES_PER_USER_MAX`."""
        ...

    async def remove_device(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Remove a device; False when there is no such user or device."""
        ...


class ConsentRecord(msgspec.Struct, frozen=True):
    """One change of one entry of a user's preferences. `allowed` of None: no longer set. `source` is the origin of the
    change: the id of an API key, or `user`. Sequence numbers of a user count up from 1."""

    sequence: int
    at_ms: int
    category: str
    channel: str
    allowed: bool | None
    until_ms: int | None
    source: str


class Consents(Protocol):
    """The history of the users' consents, written in the transaction of each change."""

    async def page(self, tenant: str, user_id: str, before: int | None, limit: int) -> list[ConsentRecord] | None:
        """Return changes below a sequence number, newest first; None when there is no such user."""
        ...


class TopicRecord(msgspec.Struct, frozen=True):
    """A topic."""

    key: str
    name: str
    created_ms: int


class Topics(Protocol):
    """The topics of a tenant and their members."""

    async def put(self, tenant: str, key: str, name: str) -> TopicRecord:
        """Create a topic or rename it."""
        ...

    async def get(self, tenant: str, key: str) -> TopicRecord | None:
        """Return a topic."""
        ...

    async def page(self, tenant: str, after: str, limit: int) -> list[TopicRecord]:
        """Return topics in the order of their keys."""
        ...

    async def known(self, tenant: str, keys: Sequence[str]) -> frozenset[str]:
        """Return those of the keys that are topics."""
        ...

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a topic and its memberships; return whether it existed."""
        ...

    async def join(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Add users and return how many were new. Raises `NotFound` for the topic, and `InvalidField` naming the first
        unknown user; nothing is stored then."""
        ...

    async def leave(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Remove users and return how many were members. Raises `NotFound` for the topic."""
        ...

    async def members(self, tenant: str, key: str, after: str, limit: int) -> list[str]:
        """Return user ids in the order in which the users were first stored. Raises `NotFound` for the topic, and
        `InvalidField` when `after` is not a user any more."""
        ...
