"""Stores a batch of users on PostgreSQL: a few statements for any number of users."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from clarion.domain.preferences import NO_PREFERENCES, TENANTS_QUIET_HOURS, Change, changes
from clarion.domain.user import Device, UserWrite
from clarion.stores.postgres.control_consents import write_changes
from clarion.stores.postgres.control_profiles import ProfileKey, Profiles
from clarion.stores.postgres.control_run import Transaction
from clarion.stores.postgres.control_topics import join, require_topics
from clarion.stores.postgres.pool import columns
from clarion.stores.postgres.sql_files import sql

_CHOSEN: Final = """
SELECT u.user_id, u.ordinal, p.preferences, p.quiet_hours
FROM users u JOIN profiles p ON p.tenant = u.tenant AND p.profile_id = u.profile_id
WHERE u.tenant = $1 AND u.user_id = ANY($2::text[]) ORDER BY u.user_id FOR UPDATE OF u
"""
_ENCODER: Final = msgspec.msgpack.Encoder()
_COLUMNS: Final = 14


class Batch:
    """Users of one tenant to be stored at a time (Unix ms), with what becomes of their preferences."""

    def __init__(self, tenant: str, users: Sequence[UserWrite], source: str, now_ms: int) -> None:
        self._tenant = tenant
        self._users = users
        self._source = source
        self._now_ms = now_ms

    async def store(self, tx: Transaction, profiles: Profiles) -> dict[ProfileKey, int]:
        """Store all users and return the ids of their profiles. Raises `NotFound` when a topic does not exist."""
        await require_topics(tx, self._tenant, {topic for user in self._users for topic in user.topics})
        stored = await tx.rows(_CHOSEN, self._tenant, [user.user_id for user in self._users])
        ordinals = {row[0]: row[1] for row in stored}
        changed, keys = self._chosen({row[0]: (row[2], row[3]) for row in stored})
        ids = await profiles.ids_of(tx, self._tenant, keys.values())
        rows = [_row(user, ids[keys[user.user_id]]) for user in _merged(self._users)]
        new = [row for row in rows if row[0] not in ordinals]
        known = [row for row in rows if row[0] in ordinals]
        if new:
            inserted = await tx.rows(sql("users_insert"), self._tenant, self._now_ms, *columns(new, _COLUMNS))
            if len(inserted) < len(new):  # run again, the transaction finds the preferences of those, too
                raise asyncpg.SerializationError("another transaction stored the same user first")
            ordinals |= dict(inserted)
        if known:
            await tx.change(sql("users_update"), self._tenant, self._now_ms, *columns(sorted(known), _COLUMNS))
        for topic, members in sorted(self._members(ordinals).items()):
            await join(tx, self._tenant, topic, members)
        await write_changes(tx, self._tenant, changed, ordinals, self._source, self._now_ms)
        return ids

    def _chosen(self, chosen: dict[str, tuple[str, str]]) -> tuple[list[tuple[str, Change]], dict[str, ProfileKey]]:
        """Return the changes of preferences in the order of the batch, and each user's profile after it."""
        changed: list[tuple[str, Change]] = []
        keys: dict[str, ProfileKey] = {}
        for user in self._users:
            before, quiet = chosen.get(user.user_id, (NO_PREFERENCES, TENANTS_QUIET_HOURS))
            after = before if user.preferences is None else user.preferences
            quiet = quiet if user.quiet_hours is None else user.quiet_hours
            chosen[user.user_id] = after, quiet
            changed += ((user.user_id, change) for change in changes(before, after))
            keys[user.user_id] = ProfileKey(self._tenant, user.zone, after, quiet)
        return changed, keys

    def _members(self, ordinals: Mapping[str, int]) -> dict[str, list[int]]:
        members: dict[str, list[int]] = {}
        for user in self._users:
            for topic in user.topics:
                members.setdefault(topic, []).append(ordinals[user.user_id])
        return members


def kinds_of(devices: Sequence[Device]) -> list[str]:
    """Return the kinds among devices, which filters look for."""
    return sorted({device.kind for device in devices})


def _merged(users: Sequence[UserWrite]) -> list[UserWrite]:
    """Return one write per user: the last one, with devices and time of earlier ones where it leaves them unchanged."""
    merged: dict[str, UserWrite] = {}
    for user in users:
        before = merged.get(user.user_id)
        if before is not None:
            user = msgspec.structs.replace(
                user,
                devices=before.devices if user.devices is None else user.devices,
                last_seen_ms=before.last_seen_ms if user.last_seen_ms is None else user.last_seen_ms,
            )
        merged[user.user_id] = user
    return list(merged.values())


def _row(user: UserWrite, profile_id: int) -> tuple[Any, ...]:
    devices = None if user.devices is None else _ENCODER.encode(user.devices)
    kinds = None if user.devices is None else " ".join(kinds_of(user.devices))
    return (
        user.user_id, profile_id, user.email, user.phone, user.whatsapp, user.chat, user.webhook, user.locale, user.zone,
        devices, kinds, user.attributes, user.more_contacts, user.last_seen_ms,
    )  # fmt: skip
