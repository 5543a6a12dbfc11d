"""Users. Preferences and quiet hours are those of their profiles."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import BigInteger, and_, bindparam, delete, func, select, update

from clarion.domain.errors import Conflict
from clarion.domain.last_seen import LastSeen
from clarion.domain.limits import DEVICES_PER_USER_MAX
from clarion.domain.limits_processes import SEEN_EVERY_MS
from clarion.domain.preferences import changes, read_preferences, read_quiet_hours
from clarion.domain.user import Device, UserWrite
from clarion.ports.clock import Clock
from clarion.ports.control_users import UserRecord
from clarion.stores.sql.consents import write_changes
from clarion.stores.sql.engine import Engine, Row, Transaction, first
from clarion.stores.sql.profiles import ProfileKey, Profiles
from clarion.stores.sql.statement import Statement, page_after
from clarion.stores.sql.tables import CONSENTS, PROFILES, TOPIC_MEMBERS, USERS
from clarion.stores.sql.user_batch import SET_DEVICES, UserBatch, packed

_U: Final = USERS.c
_P: Final = PROFILES.c
_COLUMNS: Final = tuple(
    _P[name] if name in ("preferences", "quiet_hours") else _U[name] for name in UserRecord.__struct_fields__
)
_FROM: Final = USERS.join(PROFILES, and_(_P.tenant == _U.tenant, _P.profile_id == _U.profile_id))
_OWN: Final = (_U.tenant == bindparam("tenant"), _U.user_id == bindparam("user_id"))
_NOW: Final = bindparam("now_ms", type_=BigInteger)
_GET: Final = Statement(select(*_COLUMNS).select_from(_FROM).where(*_OWN))
_PAGE: Final = Statement(page_after(select(*_COLUMNS).select_from(_FROM), _U.user_id))
_CHOSEN: Final = Statement(
    select(_U.ordinal, _U.zone, _P.preferences, _P.quiet_hours)
    .select_from(_FROM)
    .where(*_OWN)
    .with_for_update(of=USERS)
)
_CHOOSE: Final = Statement(
    update(USERS).where(*_OWN).values(profile_id=bindparam("profile", type_=BigInteger), updated_ms=_NOW)
)
_ERASE: Final = Statement(delete(USERS).where(*_OWN).returning(_U.ordinal))
_ERASE_WITH: Final = tuple(
    Statement(delete(table).where(table.c.tenant == bindparam("tenant"), table.c.ordinal == bindparam("ordinal")))
    for table in (TOPIC_MEMBERS, CONSENTS)
)
_SEEN: Final = Statement(
    update(USERS)
    .where(*_OWN, func.coalesce(_U.last_seen_ms, 0) <= bindparam("before_ms", type_=BigInteger))
    .values(last_seen_ms=_NOW)
)
_DEVICES_OF: Final = Statement(select(_U.devices).where(*_OWN).with_for_update())
_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_CONTACTS: Final = msgspec.json.Decoder(UserRecord.__annotations__["more_contacts"])


class SqlUsers:
    """Implements `ports.control_users.Users`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._profiles = Profiles()
        self._seen = LastSeen()

    async def put_many(self, tenant: str, users: Sequence[UserWrite], source: str = "") -> None:
        """Create or replace users in one transaction."""
        batch = UserBatch(tenant, users, source, self._clock.now_ms())
        self._profiles.remember(await self._engine.run(tenant, lambda tx: batch.store(tx, self._profiles)))

    async def get(self, tenant: str, user_id: str) -> UserRecord | None:
        """Return a user."""
        row = await first(self._engine.read(tenant, _GET, tenant=tenant, user_id=user_id))
        return None if row is None else _record(row)

    async def page(self, tenant: str, after: str, limit: int) -> list[UserRecord]:
        """Return users in the order of their ids."""
        return [_record(row) for row in await self._engine.read(tenant, _PAGE, tenant=tenant, after=after, limit=limit)]

    async def erase(self, tenant: str, user_id: str) -> bool:
        """Remove a user with all their data; return whether it existed."""

        async def work(tx: Transaction) -> bool:
            row = await first(tx.rows(_ERASE, tenant=tenant, user_id=user_id))  # first: it locks out those who add
            if row is None:
                return False
            for statement in _ERASE_WITH:
                await tx.change(statement, tenant=tenant, ordinal=row[0])
            return True

        return await self._engine.run(tenant, work)

    async def set_preferences(self, tenant: str, user_id: str, preferences: str, source: str = "") -> bool:
        """Replace the preferences (canonical JSON) of a user."""
        return await self._choose(tenant, user_id, source, preferences=preferences)

    async def set_quiet_hours(self, tenant: str, user_id: str, quiet_hours: str) -> bool:
        """Replace the quiet hours (canonical JSON, empty for the tenant's) of a user."""
        return await self._choose(tenant, user_id, "", quiet_hours=quiet_hours)

    async def touch(self, tenant: str, user_id: str) -> None:
        """Record that a user was seen now."""
        now_ms = self._clock.now_ms()
        if self._seen.is_due(tenant, user_id, now_ms):
            values = {"tenant": tenant, "user_id": user_id, "now_ms": now_ms, "before_ms": now_ms - SEEN_EVERY_MS}
            await self._engine.run(tenant, lambda tx: tx.change(_SEEN, **values))

    async def put_device(self, tenant: str, user_id: str, device: Device) -> bool:
        """Add or replace a device."""

        async def work(tx: Transaction) -> bool:
            devices = await _devices_of(tx, tenant, user_id)
            if devices is None:
                return False
            kept = {entry.device_id: entry for entry in devices} | {device.device_id: device}
            if len(kept) > DEVICES_PER_USER_MAX:
                raise Conflict(f"a user has at most {DEVICES_PER_USER_MAX} devices", code="too_many_devices")
            await self._set_devices(tx, tenant, user_id, list(kept.values()))
            return True

        return await self._engine.run(tenant, work)

    async def remove_device(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Remove a device."""

        async def work(tx: Transaction) -> bool:
            devices = await _devices_of(tx, tenant, user_id) or ()
            kept = [entry for entry in devices if entry.device_id != device_id]
            if len(kept) == len(devices):
                return False
            await self._set_devices(tx, tenant, user_id, kept)
            return True

        return await self._engine.run(tenant, work)

    async def _set_devices(self, tx: Transaction, tenant: str, user_id: str, devices: list[Device]) -> None:
        row = (user_id, *packed(devices))
        await tx.change_many(SET_DEVICES, [row], tenant=tenant, now_ms=self._clock.now_ms())

    async def _choose(self, tenant: str, user_id: str, source: str, **chosen: str) -> bool:
        own, now_ms = {"tenant": tenant, "user_id": user_id}, self._clock.now_ms()

        async def work(tx: Transaction) -> dict[ProfileKey, int] | None:
            row = await first(tx.rows(_CHOSEN, **own))
            if row is None:
                return None
            ordinal, *profile = row
            before = ProfileKey(tenant, *profile)
            after = before._replace(**chosen)
            ids = await self._profiles.ids_of(tx, tenant, [after])
            await tx.change(_CHOOSE, **own, profile=ids[after], now_ms=now_ms)
            changed = [(user_id, change) for change in changes(before.preferences, after.preferences)]
            await write_changes(tx, tenant, changed, {user_id: ordinal}, source, now_ms)
            return ids

        found = await self._engine.run(tenant, work)
        self._profiles.remember(found or {})
        return found is not None


async def _devices_of(tx: Transaction, tenant: str, user_id: str) -> tuple[Device, ...] | None:
    row = await first(tx.rows(_DEVICES_OF, tenant=tenant, user_id=user_id))
    if row is None:
        return None
    return _DEVICES.decode(row[0]) if row[0] else ()


def _record(row: Row) -> UserRecord:
    values = dict(zip(UserRecord.__struct_fields__, row, strict=True))
    values["attributes"] = msgspec.json.decode(values["attributes"] or "{}")
    values["preferences"] = read_preferences(values["preferences"])
    values["quiet_hours"] = read_quiet_hours(values["quiet_hours"])
    values["more_contacts"] = _CONTACTS.decode(values["more_contacts"] or "{}")
    values["devices"] = _DEVICES.decode(values["devices"]) if values["devices"] else ()
    return UserRecord(**values)
