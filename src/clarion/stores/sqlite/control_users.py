"""Users in `control.db`. The batch write is the hot path: three hand-written statements for any number of users."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, select, update

from clarion.domain.errors import Conflict
from clarion.domain.last_seen import LastSeen
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
from clarion.domain.user import Device, UserWrite
from clarion.ports.clock import Clock
from clarion.ports.control_users import UserRecord
from clarion.stores.sqlite.control_consents import write_changes
from clarion.stores.sqlite.control_profiles import ProfileKey, Profiles
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import CONSENTS, PROFILES, TOPIC_MEMBERS, USERS
from clarion.stores.sqlite.control_topics import require_topics

_CHOSEN: Final = """
SELECT u.user_id, p.preferences, p.quiet_hours FROM json_each(?) j
CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value JOIN profiles p ON p.profile_id = u.profile_id
"""
# NULL devices and times in the new row leave the stored ones unchanged. An empty list is written as an empty list, not
# NULL.
_UPSERT: Final = """
INSERT INTO users (tenant, user_id, profile_id, email, phone, whatsapp, chat, webhook, locale, zone, devices,
                   attributes, more_contacts, last_seen_ms, created_ms, updated_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15)
ON CONFLICT (tenant, user_id) DO UPDATE SET
    profile_id = excluded.profile_id, email = excluded.email, phone = excluded.phone, whatsapp = excluded.whatsapp,
    chat = excluded.chat, webhook = excluded.webhook, locale = excluded.locale, zone = excluded.zone,
    devices = coalesce(excluded.devices, devices), attributes = excluded.attributes,
    more_contacts = excluded.more_contacts, last_seen_ms = coalesce(excluded.last_seen_ms, last_seen_ms),
    updated_ms = excluded.updated_ms
"""
_SEEN: Final = """
UPDATE users SET last_seen_ms = ?1 WHERE tenant = ?2 AND user_id = ?3 AND coalesce(last_seen_ms, 0) <= ?1 - ?4
"""
_JOIN: Final = """
INSERT OR IGNORE INTO topic_members SELECT tenant, ?, ordinal FROM users WHERE tenant = ? AND user_id = ?
"""

_COLUMNS: Final = [
    PROFILES.c[name] if name in ("preferences", "quiet_hours") else USERS.c[name]
    for name in UserRecord.__struct_fields__
]
_FROM: Final = USERS.join(PROFILES, PROFILES.c.profile_id == USERS.c.profile_id)
_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_ENCODER: Final = msgspec.msgpack.Encoder()
_CONTACTS: Final = msgspec.json.Decoder(UserRecord.__annotations__["more_contacts"])


class SqliteUsers:
    """The users of a tenant."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._profiles = Profiles()
        self._seen = LastSeen()

    async def put_many(self, tenant: str, users: Sequence[UserWrite], source: str = "") -> None:
        """Create or replace users in one transaction; of two with the same id the later one counts. `source` is
        recorded with each changed preference. Raises `NotFound`, with nothing stored, when a topic does not exist."""
        fresh: dict[ProfileKey, int] = {}
        await self._runner.run(lambda tx: self._store(tx, tenant, users, source, fresh))
        self._profiles.remember(fresh)

    async def get(self, tenant: str, user_id: str) -> UserRecord | None:
        """Return a user, or None when there is none."""
        query = select(*_COLUMNS).select_from(_FROM).where(_is(tenant, user_id))
        row = self._runner.read(lambda tx: tx.row(query))
        return _record(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[UserRecord]:
        """Return users in the order of their ids."""
        query = (
            select(*_COLUMNS)
            .select_from(_FROM)
            .where(USERS.c.tenant == tenant, USERS.c.user_id > after)
            .order_by(USERS.c.user_id)
            .limit(limit)
        )
        return [_record(row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def erase(self, tenant: str, user_id: str) -> bool:
        """Remove a user with all of the user's data; return whether there was one. The ordinal is never used again."""
        own = select(USERS.c.ordinal).where(_is(tenant, user_id)).scalar_subquery()

        def work(tx: Transaction) -> bool:
            tx.change(delete(TOPIC_MEMBERS).where(TOPIC_MEMBERS.c.ordinal == own))
            tx.change(delete(CONSENTS).where(CONSENTS.c.tenant == tenant, CONSENTS.c.ordinal == own))
            return tx.change(delete(USERS).where(_is(tenant, user_id))) > 0

        return await self._runner.run(work)

    async def set_preferences(self, tenant: str, user_id: str, preferences: str, source: str = "") -> bool:
        """Replace the preferences (canonical JSON) of a user, recorded with `source`; return False when there is no
        such user."""
        return await self._choose(tenant, user_id, source, preferences=preferences)

    async def set_quiet_hours(self, tenant: str, user_id: str, quiet_hours: str) -> bool:
        """Replace the quiet hours (canonical JSON, empty for the tenant's) of a user; return False when there is no
        such user."""
        return await self._choose(tenant, user_id, "", quiet_hours=quiet_hours)

    async def touch(self, tenant: str, user_id: str) -> None:
        """Record the current time as the user's last activity; written at most every `SEEN_EVERY_MS`."""
        now = self._clock.now_ms()
        if self._seen.is_due(tenant, user_id, now):
            await self._runner.run(lambda tx: tx.sql(_SEEN, (now, tenant, user_id, SEEN_EVERY_MS)))

    async def put_device(self, tenant: str, user_id: str, device: Device) -> bool:
        """Add or replace a device; return False when there is no such user. Raises `Conflict` over
        `DEVICES_PER_USER_MAX`."""
        now = self._clock.now_ms()

        def work(tx: Transaction) -> bool:
            devices = _devices_of(tx, tenant, user_id)
            if devices is None:
                return False
            kept = {entry.device_id: entry for entry in devices} | {device.device_id: device}
            if len(kept) > DEVICES_PER_USER_MAX:
                raise Conflict(f"a user has at most {DEVICES_PER_USER_MAX} devices", code="too_many_devices")
            _set_devices(tx, tenant, user_id, list(kept.values()), now)
            return True

        return await self._runner.run(work)

    async def remove_device(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Remove a device; return False when there is no such user or device."""
        now = self._clock.now_ms()

        def work(tx: Transaction) -> bool:
            devices = _devices_of(tx, tenant, user_id) or ()
            kept = [entry for entry in devices if entry.device_id != device_id]
            if len(kept) == len(devices):
                return False
            _set_devices(tx, tenant, user_id, kept, now)
            return True

        return await self._runner.run(work)

    async def _choose(self, tenant: str, user_id: str, source: str, **chosen: str) -> bool:
        fresh: dict[ProfileKey, int] = {}
        now = self._clock.now_ms()
        query = select(USERS.c.zone, PROFILES.c.preferences, PROFILES.c.quiet_hours).select_from(_FROM)

        def work(tx: Transaction) -> bool:
            row = tx.row(query.where(_is(tenant, user_id)))
            if row is None:
                return False
            before = ProfileKey(tenant, *row)
            after = before._replace(**chosen)
            profile = self._profiles.id_of(tx, after, fresh)
            tx.change(update(USERS).where(_is(tenant, user_id)).values(profile_id=profile, updated_ms=now))
            changed = [(user_id, change) for change in changes(before.preferences, after.preferences)]
            write_changes(tx, tenant, changed, source, now)
            return True

        found = await self._runner.run(work)
        self._profiles.remember(fresh)
        return found

    def _store(
        self, tx: Transaction, tenant: str, users: Sequence[UserWrite], source: str, fresh: dict[ProfileKey, int]
    ) -> None:
        require_topics(tx, tenant, {topic for user in users for topic in user.topics})
        now = self._clock.now_ms()
        ids = msgspec.json.encode([user.user_id for user in users]).decode()
        chosen = {user_id: (prefers, quiet) for user_id, prefers, quiet in tx.sql(_CHOSEN, (ids, tenant))}
        changed: list[tuple[str, Change]] = []
        rows = []
        for user in users:
            before, quiet = chosen.get(user.user_id, (NO_PREFERENCES, TENANTS_QUIET_HOURS))
            after = before if user.preferences is None else user.preferences
            quiet = quiet if user.quiet_hours is None else user.quiet_hours
            chosen[user.user_id] = after, quiet
            changed += ((user.user_id, change) for change in changes(before, after))
            profile = self._profiles.id_of(tx, ProfileKey(tenant, user.zone, after, quiet), fresh)
            devices = None if user.devices is None else _ENCODER.encode(user.devices)
            rows.append((
                tenant, user.user_id, profile, user.email, user.phone, user.whatsapp, user.chat, user.webhook,
                user.locale, user.zone, devices, user.attributes, user.more_contacts, user.last_seen_ms, now,
            ))  # fmt: skip
        tx.many(_UPSERT, rows)
        tx.many(_JOIN, [(topic, tenant, user.user_id) for user in users for topic in user.topics])
        write_changes(tx, tenant, changed, source, now)


def _is(tenant: str, user_id: str) -> ColumnElement[bool]:
    return and_(USERS.c.tenant == tenant, USERS.c.user_id == user_id)


def _devices_of(tx: Transaction, tenant: str, user_id: str) -> tuple[Device, ...] | None:
    row = tx.row(select(USERS.c.devices).where(_is(tenant, user_id)))
    if row is None:
        return None
    return _DEVICES.decode(row[0]) if row[0] else ()


def _set_devices(tx: Transaction, tenant: str, user_id: str, devices: list[Device], now: int) -> None:
    values = {"devices": _ENCODER.encode(devices), "updated_ms": now}
    tx.change(update(USERS).where(_is(tenant, user_id)).values(**values))


def _record(row: Row) -> UserRecord:
    values = dict(zip(UserRecord.__struct_fields__, row, strict=True))
    values["attributes"] = msgspec.json.decode(values["attributes"] or "{}")
    values["preferences"] = read_preferences(values["preferences"])
    values["quiet_hours"] = read_quiet_hours(values["quiet_hours"])
    values["more_contacts"] = _CONTACTS.decode(values["more_contacts"] or "{}")
    values["devices"] = _DEVICES.decode(values["devices"]) if values["devices"] else ()
    return UserRecord(**values)
