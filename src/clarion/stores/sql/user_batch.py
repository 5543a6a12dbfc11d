"""Stores a batch of users: a few statements for any number of users."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Update, and_, bindparam, case, func, select, update

from clarion.domain.preferences import NO_PREFERENCES, TENANTS_QUIET_HOURS, Change, changes
from clarion.domain.user import Device, UserWrite
from clarion.stores.sql.consents import write_changes
from clarion.stores.sql.engine import Overtaken, Row, Transaction
from clarion.stores.sql.profiles import ProfileKey, Profiles
from clarion.stores.sql.statement import Among, Given, Many, Statement
from clarion.stores.sql.tables import PROFILES, USERS
from clarion.stores.sql.topics import JOIN, ORDINALS, require_topics

_U: Final = USERS.c
_P: Final = PROFILES.c
_NOW: Final = bindparam("now_ms", type_=BigInteger)
_REPLACED: Final = [
    "profile_id",
    "email",
    "phone",
    "whatsapp",
    "chat",
    "webhook",
    "locale",
    "zone",
    "attributes",
    "more_contacts",
]
_GIVEN: Final = (
    "user_id profile_id:i email phone whatsapp chat webhook locale zone attributes more_contacts last_seen_ms:i"
    " devices:b device_kinds"
)
_CHOSEN: Final = Statement(
    select(_U.user_id, _U.ordinal, _P.preferences, _P.quiet_hours)
    .join_from(USERS, PROFILES, and_(_P.tenant == _U.tenant, _P.profile_id == _U.profile_id))
    .where(_U.tenant == bindparam("tenant"), Among(_U.user_id, "user_ids"))
    .order_by(_U.user_id)
    .with_for_update(of=USERS)
)
_ENCODER: Final = msgspec.msgpack.Encoder()


def _kinds(given: Given) -> dict[str, Any]:
    """Return the kinds of devices, which PostgreSQL has in a column of their own."""
    return {"device_kinds": func.string_to_array(given["device_kinds"], " ")} if given.at_once else {}


def _insert(given: Given) -> Any:
    values = {name: given[name] for name in ("user_id", *_REPLACED, "last_seen_ms", "devices")}
    same = {"tenant": bindparam("tenant"), "created_ms": _NOW, "updated_ms": _NOW}
    return given.insert(USERS, same | values | _kinds(given)).on_conflict_do_nothing()


def _update(given: Given) -> Update:
    """NULL devices and times leave the stored ones unchanged; no devices are an empty list."""
    unchanged = {name: func.coalesce(given[name], _U[name]) for name in ("devices", "last_seen_ms")}
    kinds = {
        name: case((given["devices"].is_(None), _U[name]), else_=value) for name, value in _kinds(given).items()
    }  # fmt: skip
    replaced = {name: given[name] for name in _REPLACED}
    return _own(given).values(replaced | unchanged | kinds | {"updated_ms": _NOW})


def _own(given: Given) -> Update:
    return update(USERS).where(_U.tenant == bindparam("tenant"), _U.user_id == given["user_id"])


_INSERT: Final = Many(_GIVEN, _insert)
_UPDATE: Final = Many(_GIVEN, _update)
SET_DEVICES: Final = Many(
    "user_id devices:b device_kinds",
    lambda given: _own(given).values({"devices": given["devices"], "updated_ms": _NOW} | _kinds(given)),
)


class UserBatch:
    """Users of one tenant to be stored at a time (Unix ms), with what becomes of their preferences."""

    def __init__(self, tenant: str, users: Sequence[UserWrite], source: str, now_ms: int) -> None:
        self._tenant = tenant
        self._users = users
        self._source = source
        self._now_ms = now_ms

    async def store(self, tx: Transaction, profiles: Profiles) -> dict[ProfileKey, int]:
        """Store all users and return the ids of their profiles. Raises `NotFound` when a topic does not exist."""
        await require_topics(tx, self._tenant, {topic for user in self._users for topic in user.topics})
        user_ids = [user.user_id for user in self._users]
        stored = await tx.rows(_CHOSEN, tenant=self._tenant, user_ids=user_ids)
        ordinals: dict[str, int] = {row[0]: row[1] for row in stored}
        changed, keys = self._chosen({row[0]: (row[2], row[3]) for row in stored})
        ids = await profiles.ids_of(tx, self._tenant, keys.values())
        rows = [_row(user, ids[keys[user.user_id]]) for user in _merged(self._users)]
        await self._write(tx, rows, ordinals)
        members = [(topic, user.user_id) for user in self._users for topic in user.topics]
        wanted = {user_id for _, user_id in members} | {user_id for user_id, _ in changed}
        if wanted - ordinals.keys():
            ordinals = dict(await tx.rows(ORDINALS, tenant=self._tenant, user_ids=sorted(wanted)))
        if members:
            joining = sorted({(topic, ordinals[user_id]) for topic, user_id in members})
            await tx.change_many(JOIN, joining, tenant=self._tenant)
        await write_changes(tx, self._tenant, changed, ordinals, self._source, self._now_ms)
        return ids

    async def _write(self, tx: Transaction, rows: list[Row], known: dict[str, int]) -> None:
        same = {"tenant": self._tenant, "now_ms": self._now_ms}
        new = [row for row in rows if row[0] not in known]
        if new and await tx.change_many(_INSERT, new, **same) < len(new):
            # Run again, the transaction finds the preferences of those, too.
            raise Overtaken("another transaction stored the same user first")
        if len(new) < len(rows):
            await tx.change_many(_UPDATE, sorted(row for row in rows if row[0] in known), **same)

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


def packed(devices: Sequence[Device] | None) -> tuple[bytes | None, str | None]:
    """Return devices as they are stored, and the kinds among them."""
    if devices is None:
        return None, None
    kinds = devices[0].kind if len(devices) == 1 else " ".join(kinds_of(devices))
    return _ENCODER.encode(devices), kinds


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


def _row(user: UserWrite, profile_id: int) -> Row:
    return (
        user.user_id, profile_id, user.email, user.phone, user.whatsapp, user.chat, user.webhook, user.locale, user.zone,
        user.attributes, user.more_contacts, user.last_seen_ms, *packed(user.devices),
    )  # fmt: skip
