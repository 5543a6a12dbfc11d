"""Users on PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.errors import Conflict
from clarion.domain.last_seen import LastSeen
from clarion.domain.limits import DEVICES_PER_USER_MAX
from clarion.domain.limits_processes import SEEN_EVERY_MS
from clarion.domain.preferences import changes, read_preferences, read_quiet_hours
from clarion.domain.user import Device, UserWrite
from clarion.ports.clock import Clock
from clarion.ports.control_users import UserRecord
from clarion.stores.postgres.control_consents import write_changes
from clarion.stores.postgres.control_profiles import ProfileKey, Profiles
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.control_user_batch import Batch, kinds_of

_COLUMNS: Final = ", ".join(
    f"p.{name}" if name in ("preferences", "quiet_hours") else f"u.{name}" for name in UserRecord.__struct_fields__
)
_FROM: Final = "FROM users u JOIN profiles p ON p.tenant = u.tenant AND p.profile_id = u.profile_id WHERE u.tenant = $1"
_GET: Final = f"SELECT {_COLUMNS} {_FROM} AND u.user_id = $2"
_PAGE: Final = f"SELECT {_COLUMNS} {_FROM} AND u.user_id > $2 ORDER BY u.user_id LIMIT $3"
_CHOSEN: Final = f"SELECT u.ordinal, u.zone, p.preferences, p.quiet_hours {_FROM} AND u.user_id = $2 FOR UPDATE OF u"
_CHOOSE: Final = "UPDATE users SET profile_id = $3, updated_ms = $4 WHERE tenant = $1 AND user_id = $2"
_ERASE: Final = "DELETE FROM users WHERE tenant = $1 AND user_id = $2 RETURNING ordinal"
_ERASE_MEMBER: Final = "DELETE FROM topic_members WHERE tenant = $1 AND ordinal = $2"
_ERASE_CONSENTS: Final = "DELETE FROM consents WHERE tenant = $1 AND ordinal = $2"
_SEEN: Final = """
UPDATE users SET last_seen_ms = $3 WHERE tenant = $1 AND user_id = $2 AND coalesce(last_seen_ms, 0) <= $4
"""
_DEVICES_OF: Final = "SELECT devices FROM users WHERE tenant = $1 AND user_id = $2 FOR UPDATE"
_SET_DEVICES: Final = """
UPDATE users SET devices = $3, device_kinds = $4, updated_ms = $5 WHERE tenant = $1 AND user_id = $2
"""
_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_ENCODER: Final = msgspec.msgpack.Encoder()
_CONTACTS: Final = msgspec.json.Decoder(UserRecord.__annotations__["more_contacts"])


class PostgresUsers:
    """The users of a tenant."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._profiles = Profiles()
        self._seen = LastSeen()

    async def put_many(self, tenant: str, users: Sequence[UserWrite], source: str = "") -> None:
        """Create or replace users in one transaction; of two with the same id the later one counts. `source` is
        recorded with each changed preference. Raises `NotFound`, with nothing stored, when a topic does not exist."""
        batch = Batch(tenant, users, source, self._clock.now_ms())
        self._profiles.remember(await self._runner.run(tenant, lambda tx: batch.store(tx, self._profiles)))

    async def get(self, tenant: str, user_id: str) -> UserRecord | None:
        """Return a user, or None when there is none."""
        row = await self._runner.row(tenant, _GET, tenant, user_id)
        return _record(row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[UserRecord]:
        """Return users in the order of their ids."""
        return [_record(row) for row in await self._runner.rows(tenant, _PAGE, tenant, after, limit)]

    async def erase(self, tenant: str, user_id: str) -> bool:
        """Remove a user with all of the user's data; return whether there was one. The ordinal is never used again."""

        async def work(tx: Transaction) -> bool:
            ordinal = await tx.value(_ERASE, tenant, user_id)  # first: it locks out those who add to the user
            if ordinal is None:
                return False
            await tx.change(_ERASE_MEMBER, tenant, ordinal)
            await tx.change(_ERASE_CONSENTS, tenant, ordinal)
            return True

        return await self._runner.run(tenant, work)

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
            await self._runner.run(tenant, lambda tx: tx.change(_SEEN, tenant, user_id, now, now - SEEN_EVERY_MS))

    async def put_device(self, tenant: str, user_id: str, device: Device) -> bool:
        """Add or replace a device; return False when there is no such user. Raises `Conflict` over
        `DEVICES_PER_USER_MAX`."""
        now = self._clock.now_ms()

        async def work(tx: Transaction) -> bool:
            devices = await _devices_of(tx, tenant, user_id)
            if devices is None:
                return False
            kept = {entry.device_id: entry for entry in devices} | {device.device_id: device}
            if len(kept) > DEVICES_PER_USER_MAX:
                raise Conflict(f"a user has at most {DEVICES_PER_USER_MAX} devices", code="too_many_devices")
            await _set_devices(tx, tenant, user_id, list(kept.values()), now)
            return True

        return await self._runner.run(tenant, work)

    async def remove_device(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Remove a device; return False when there is no such user or device."""
        now = self._clock.now_ms()

        async def work(tx: Transaction) -> bool:
            devices = await _devices_of(tx, tenant, user_id) or ()
            kept = [entry for entry in devices if entry.device_id != device_id]
            if len(kept) == len(devices):
                return False
            await _set_devices(tx, tenant, user_id, kept, now)
            return True

        return await self._runner.run(tenant, work)

    async def _choose(self, tenant: str, user_id: str, source: str, **chosen: str) -> bool:
        now = self._clock.now_ms()

        async def work(tx: Transaction) -> dict[ProfileKey, int] | None:
            row = await tx.row(_CHOSEN, tenant, user_id)
            if row is None:
                return None
            ordinal, *profile = row
            before = ProfileKey(tenant, *profile)
            after = before._replace(**chosen)
            ids = await self._profiles.ids_of(tx, tenant, [after])
            await tx.change(_CHOOSE, tenant, user_id, ids[after], now)
            changed = [(user_id, change) for change in changes(before.preferences, after.preferences)]
            await write_changes(tx, tenant, changed, {user_id: ordinal}, source, now)
            return ids

        found = await self._runner.run(tenant, work)
        self._profiles.remember(found or {})
        return found is not None


async def _devices_of(tx: Transaction, tenant: str, user_id: str) -> tuple[Device, ...] | None:
    row = await tx.row(_DEVICES_OF, tenant, user_id)
    if row is None:
        return None
    return _DEVICES.decode(row[0]) if row[0] else ()


async def _set_devices(tx: Transaction, tenant: str, user_id: str, devices: list[Device], now: int) -> None:
    await tx.change(_SET_DEVICES, tenant, user_id, _ENCODER.encode(devices), kinds_of(devices), now)


def _record(row: Any) -> UserRecord:
    values = dict(row)
    values["attributes"] = msgspec.json.decode(values["attributes"] or "{}")
    values["preferences"] = read_preferences(values["preferences"])
    values["quiet_hours"] = read_quiet_hours(values["quiet_hours"])
    values["more_contacts"] = _CONTACTS.decode(values["more_contacts"] or "{}")
    values["devices"] = _DEVICES.decode(values["devices"]) if values["devices"] else ()
    return UserRecord(**values)
