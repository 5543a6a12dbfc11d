"""Users in `control.db`. The batch write is the hot one: three statements by hand for any number of users."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, select, update

from clarion.backends.sqlite.control_run import Row, Runner, Transaction
from clarion.backends.sqlite.control_tables import PROFILES, TOPIC_MEMBERS, USERS
from clarion.backends.sqlite.control_topics import require_topics
from clarion.domain.errors import Conflict
from clarion.domain.limits import DEVICES_PER_USER_MAX, PROFILE_CACHE_MAX
from clarion.domain.user import Device, UserWrite
from clarion.ports.clock import Clock
from clarion.ports.control_users import UserRecord

_NO_PREFERENCES: Final = "{}"
_PREFERENCES: Final = """
SELECT u.user_id, p.preferences FROM json_each(?) j CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value
JOIN profiles p ON p.profile_id = u.profile_id
"""
# Devices of NULL in the new row mean: leave them. An empty list is written as an empty list, never as NULL.
_UPSERT: Final = """
INSERT INTO users (tenant, user_id, profile_id, email, phone, whatsapp, chat, webhook, locale, zone, devices,
                   attributes, created_ms, updated_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
ON CONFLICT (tenant, user_id) DO UPDATE SET
    profile_id = excluded.profile_id, email = excluded.email, phone = excluded.phone, whatsapp = excluded.whatsapp,
    chat = excluded.chat, webhook = excluded.webhook, locale = excluded.locale, zone = excluded.zone,
    devices = coalesce(excluded.devices, devices), attributes = excluded.attributes, updated_ms = excluded.updated_ms
"""
_JOIN: Final = """
INSERT OR IGNORE INTO topic_members SELECT tenant, ?, ordinal FROM users WHERE tenant = ? AND user_id = ?
"""
_PROFILE: Final = "SELECT profile_id FROM profiles WHERE digest = ?"
_NEW_PROFILE: Final = """
INSERT INTO profiles (tenant, zone, preferences, digest) VALUES (?, ?, ?, ?) RETURNING profile_id
"""

_COLUMNS: Final = [
    PROFILES.c[name] if name == "preferences" else USERS.c[name] for name in UserRecord.__struct_fields__
]
_FROM: Final = USERS.join(PROFILES, PROFILES.c.profile_id == USERS.c.profile_id)
_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_ENCODER: Final = msgspec.msgpack.Encoder()

_ProfileKey = tuple[str, str, str]


class SqliteUsers:
    """The users of a tenant."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._profile_ids: dict[_ProfileKey, int] = {}

    async def put_many(self, tenant: str, users: Sequence[UserWrite]) -> None:
        """Create or replace users in one transaction; of two with the same id the later one counts. Raises `NotFound`
        with nothing stored when a topic does not exist."""
        now = self._clock.now_ms()
        fresh: dict[_ProfileKey, int] = {}
        await self._runner.run(lambda tx: self._store(tx, tenant, users, now, fresh))
        self._remember(fresh)

    async def get(self, tenant: str, user_id: str) -> UserRecord | None:
        """Return a user."""
        query = select(*_COLUMNS).select_from(_FROM).where(_is(tenant, user_id))
        row = await self._runner.run(lambda tx: tx.row(query))
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
        return [_record(row) for row in await self._runner.run(lambda tx: tx.rows(query))]

    async def erase(self, tenant: str, user_id: str) -> bool:
        """Remove a user with devices and memberships; return whether there was one. Its ordinal is never used again."""
        mine = select(USERS.c.ordinal).where(_is(tenant, user_id)).scalar_subquery()

        def work(tx: Transaction) -> bool:
            tx.change(delete(TOPIC_MEMBERS).where(TOPIC_MEMBERS.c.ordinal == mine))
            return tx.change(delete(USERS).where(_is(tenant, user_id))) > 0

        return await self._runner.run(work)

    async def set_preferences(self, tenant: str, user_id: str, preferences: str) -> bool:
        """Replace the preferences (canonical JSON) of a user; False when there is no such user."""
        fresh: dict[_ProfileKey, int] = {}
        now = self._clock.now_ms()

        def work(tx: Transaction) -> bool:
            row = tx.row(select(USERS.c.zone).where(_is(tenant, user_id)))
            if row is None:
                return False
            profile = self._profile(tx, (tenant, row[0], preferences), fresh)
            tx.change(update(USERS).where(_is(tenant, user_id)).values(profile_id=profile, updated_ms=now))
            return True

        found = await self._runner.run(work)
        self._remember(fresh)
        return found

    async def put_device(self, tenant: str, user_id: str, device: Device) -> bool:
        """Add or replace a device; False when there is no such user. Raises `Conflict` over `DEVICES_PER_USER_MAX`."""
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
        """Remove a device; False when there is no such user or device."""
        now = self._clock.now_ms()

        def work(tx: Transaction) -> bool:
            devices = _devices_of(tx, tenant, user_id) or ()
            kept = [entry for entry in devices if entry.device_id != device_id]
            if len(kept) == len(devices):
                return False
            _set_devices(tx, tenant, user_id, kept, now)
            return True

        return await self._runner.run(work)

    def _store(
        self, tx: Transaction, tenant: str, users: Sequence[UserWrite], now: int, fresh: dict[_ProfileKey, int]
    ) -> None:
        require_topics(tx, tenant, {topic for user in users for topic in user.topics})
        unstated = [user.user_id for user in users if user.preferences is None]
        preferences: dict[str, str] = {}
        if unstated:
            preferences = dict(tx.sql(_PREFERENCES, (msgspec.json.encode(unstated).decode(), tenant)))
        rows = []
        for user in users:
            wanted = user.preferences
            if wanted is None:
                wanted = preferences.get(user.user_id, _NO_PREFERENCES)
            else:
                preferences[user.user_id] = wanted
            profile = self._profile(tx, (tenant, user.zone, wanted), fresh)
            devices = None if user.devices is None else _ENCODER.encode(user.devices)
            rows.append((
                tenant, user.user_id, profile, user.email, user.phone, user.whatsapp, user.chat, user.webhook,
                user.locale, user.zone, devices, user.attributes, now,
            ))  # fmt: skip
        tx.many(_UPSERT, rows)
        tx.many(_JOIN, [(topic, tenant, user.user_id) for user in users for topic in user.topics])

    def _profile(self, tx: Transaction, key: _ProfileKey, fresh: dict[_ProfileKey, int]) -> int:
        """Return the id of a profile, inserting it if it is the first of its kind.

        New ids wait in `fresh` until the transaction is durable: one that is undone takes its profiles with it.
        """
        found = self._profile_ids.get(key) or fresh.get(key)
        if found is None:
            digest = _digest(key)
            rows = tx.sql(_PROFILE, (digest,)) or tx.sql(_NEW_PROFILE, (*key, digest))
            found = fresh[key] = int(rows[0][0])
        return found

    def _remember(self, fresh: dict[_ProfileKey, int]) -> None:
        if len(self._profile_ids) + len(fresh) > PROFILE_CACHE_MAX:
            self._profile_ids = {}
        self._profile_ids.update(fresh)


def _is(tenant: str, user_id: str) -> ColumnElement[bool]:
    return and_(USERS.c.tenant == tenant, USERS.c.user_id == user_id)


def _digest(key: _ProfileKey) -> bytes:
    text = "".join(f"{len(part)}:{part}" for part in key)
    return blake2b(text.encode(), digest_size=16).digest()


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
    values["preferences"] = msgspec.json.decode(values["preferences"])
    values["devices"] = _DEVICES.decode(values["devices"]) if values["devices"] else ()
    return UserRecord(**values)
