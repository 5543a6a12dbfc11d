"""Users and the history of their consents in memory."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import asdict, replace

from clarion.domain.errors import Conflict
from clarion.domain.limits import DEVICES_PER_USER_MAX
from clarion.domain.limits_processes import SEEN_EVERY_MS
from clarion.domain.preferences import (
    NO_PREFERENCES,
    TENANTS_QUIET_HOURS,
    Change,
    changes,
    read_preferences,
    read_quiet_hours,
)
from clarion.domain.user import Device, Profile, UserWrite
from clarion.ports.clock import Clock
from clarion.ports.control_users import ConsentRecord, UserRecord
from clarion.stores.memory.control_state import ControlState, ProfileKey, StoredUser, keys_after
from clarion.stores.memory.control_topics import require_topics

_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_CONTACTS: Final = msgspec.json.Decoder(UserRecord.__annotations__["more_contacts"])
_REPLACED: Final = ("email", "phone", "whatsapp", "chat", "webhook", "locale", "zone", "attributes", "more_contacts")


def devices_of(user: StoredUser) -> tuple[Device, ...]:
    """Return the devices of a user."""
    return _DEVICES.decode(user.devices) if user.devices else ()


class MemoryUsers:
    """The users of a tenant."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def put_many(self, tenant: str, users: Sequence[UserWrite], source: str = "") -> None:
        """Create or replace users, all or none; of two with the same id the later one counts. `source` is recorded with
        each changed preference. Raises `NotFound`, with nothing stored, when a topic does not exist."""
        require_topics(self._state, tenant, {topic for user in users for topic in user.topics})
        for user in users:
            self._put(tenant, user, source)

    async def get(self, tenant: str, user_id: str) -> UserRecord | None:
        """Return a user, or None when there is none."""
        found = self._state.people[tenant].users.get(user_id)
        return None if found is None else self._record(found)

    async def page(self, tenant: str, after: str, limit: int) -> list[UserRecord]:
        """Return users in the order of their ids."""
        users = self._state.people[tenant].users
        return [self._record(users[user_id]) for user_id in keys_after(users, after, limit)]

    async def erase(self, tenant: str, user_id: str) -> bool:
        """Remove a user with all of the user's data; return whether there was one. The ordinal is never used again."""
        people = self._state.people[tenant]
        user = people.users.get(user_id)
        if user is None:
            return False
        for topic in self._state.topics[tenant].values():
            topic.leave(user.ordinal)
        people.remove(user)
        return True

    async def set_preferences(self, tenant: str, user_id: str, preferences: str, source: str = "") -> bool:
        """Replace the preferences (canonical JSON) of a user, recorded with `source`; return False when there is no
        such user."""
        return self._choose(tenant, user_id, source, preferences=preferences)

    async def set_quiet_hours(self, tenant: str, user_id: str, quiet_hours: str) -> bool:
        """Replace the quiet hours (canonical JSON, empty for the tenant's) of a user; return False when there is no
        such user."""
        return self._choose(tenant, user_id, "", quiet_hours=quiet_hours)

    async def touch(self, tenant: str, user_id: str) -> None:
        """Record the current time as the user's last activity; written at most every `SEEN_EVERY_MS`."""
        now = self._clock.now_ms()
        user = self._state.people[tenant].users.get(user_id)
        if user is not None and (user.last_seen_ms or 0) <= now - SEEN_EVERY_MS:
            self._state.people[tenant].keep(replace(user, last_seen_ms=now))

    async def put_device(self, tenant: str, user_id: str, device: Device) -> bool:
        """Add or replace a device; return False when there is no such user. Raises `Conflict` over
        `DEVICES_PER_USER_MAX`."""
        user = self._state.people[tenant].users.get(user_id)
        if user is None:
            return False
        kept = {entry.device_id: entry for entry in devices_of(user)} | {device.device_id: device}
        if len(kept) > DEVICES_PER_USER_MAX:
            raise Conflict(f"a user has at most {DEVICES_PER_USER_MAX} devices", code="too_many_devices")
        self._set_devices(tenant, user, list(kept.values()))
        return True

    async def remove_device(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Remove a device; return False when there is no such user or device."""
        user = self._state.people[tenant].users.get(user_id)
        devices = () if user is None else devices_of(user)
        kept = [entry for entry in devices if entry.device_id != device_id]
        if user is None or len(kept) == len(devices):
            return False
        self._set_devices(tenant, user, kept)
        return True

    def _set_devices(self, tenant: str, user: StoredUser, devices: list[Device]) -> None:
        changed = replace(user, devices=msgspec.msgpack.encode(devices), updated_ms=self._clock.now_ms())
        self._state.people[tenant].keep(changed)

    def _put(self, tenant: str, user: UserWrite, source: str) -> None:
        people, now = self._state.people[tenant], self._clock.now_ms()
        before = people.users.get(user.user_id)
        chosen = ProfileKey(tenant, "", NO_PREFERENCES, TENANTS_QUIET_HOURS)
        if before is not None:
            chosen = self._state.profile_keys[before.profile_id]
        after = ProfileKey(
            tenant,
            user.zone,
            chosen.preferences if user.preferences is None else user.preferences,
            chosen.quiet_hours if user.quiet_hours is None else user.quiet_hours,
        )
        consents = list(changes(chosen.preferences, after.preferences))
        values = {name: getattr(user, name) for name in _REPLACED}
        values |= {"profile_id": self._profile_id(after), "updated_ms": now}
        if user.devices is not None:
            values["devices"] = msgspec.msgpack.encode(user.devices)
        if user.last_seen_ms is not None:
            values["last_seen_ms"] = user.last_seen_ms
        if before is None:
            self._state.last_ordinal += 1
            values = {"devices": None, "last_seen_ms": None, "created_ms": now} | values
            stored = StoredUser(ordinal=self._state.last_ordinal, user_id=user.user_id, **values)
        else:
            stored = replace(before, **values)
        people.keep(stored)
        for topic in user.topics:
            self._state.topics[tenant][topic].join(stored.ordinal)
        self._add_consents(tenant, stored.ordinal, consents, source, now)

    def _choose(self, tenant: str, user_id: str, source: str, **chosen: str) -> bool:
        people, now = self._state.people[tenant], self._clock.now_ms()
        user = people.users.get(user_id)
        if user is None:
            return False
        before = self._state.profile_keys[user.profile_id]
        after = before._replace(**chosen)
        consents = list(changes(before.preferences, after.preferences))
        people.keep(replace(user, profile_id=self._profile_id(after), updated_ms=now))
        self._add_consents(tenant, user.ordinal, consents, source, now)
        return True

    def _add_consents(self, tenant: str, ordinal: int, consents: list[Change], source: str, now: int) -> None:
        history = self._state.people[tenant].consents[ordinal]
        for change in consents:
            history.append(ConsentRecord(len(history) + 1, now, *change, source))

    def _profile_id(self, key: ProfileKey) -> int:
        found = self._state.profile_ids.get(key)
        if found is None:
            found = len(self._state.profile_keys) + 1
            quiet = read_quiet_hours(key.quiet_hours)
            self._state.profiles[found] = Profile(found, key.zone, read_preferences(key.preferences), quiet)
            self._state.profile_ids[key] = found
            self._state.profile_keys[found] = key
        return found

    def _record(self, user: StoredUser) -> UserRecord:
        profile = self._state.profile_keys[user.profile_id]
        values = asdict(user)
        del values["ordinal"], values["profile_id"]
        values["attributes"] = msgspec.json.decode(user.attributes or "{}")
        values["preferences"] = read_preferences(profile.preferences)
        values["quiet_hours"] = read_quiet_hours(profile.quiet_hours)
        values["more_contacts"] = _CONTACTS.decode(user.more_contacts or "{}")
        values["devices"] = devices_of(user)
        return UserRecord(**values)


class MemoryConsents:
    """The history of consents that users gave and withdrew."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    async def page(self, tenant: str, user_id: str, before: int | None, limit: int) -> list[ConsentRecord] | None:
        """Return the changes below a sequence number, newest first, or None when there is no such user."""
        people = self._state.people[tenant]
        user = people.users.get(user_id)
        if user is None:
            return None
        consents = people.consents.get(user.ordinal, [])
        return [record for record in reversed(consents) if before is None or record.sequence < before][:limit]
