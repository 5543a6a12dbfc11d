"""Reads users with their profiles and suppressions for the directory: one statement for a batch of any tenants."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from clarion.domain.address import suppression_key
from clarion.domain.channel import CHANNELS
from clarion.domain.limits_processes import PROFILE_CACHE_MAX
from clarion.domain.preferences import read_preferences, read_quiet_hours
from clarion.domain.user import Device, Profile, User
from clarion.ports.clock import Clock
from clarion.stores.postgres.control_engine import is_storable
from clarion.stores.postgres.pool import Database, columns
from clarion.stores.postgres.tenancy import NO_TENANT

_USERS: Final = """
SELECT u.tenant, p.zone, p.preferences, p.quiet_hours, u.devices, u.attributes, u.more_contacts, u.user_id, u.ordinal,
    u.profile_id, u.email, u.phone, u.whatsapp, u.chat, u.webhook, u.locale, u.zone
FROM unnest($1::text[], $2::text[]) AS g (tenant, user_id)
JOIN users u ON u.tenant = g.tenant AND u.user_id = g.user_id
JOIN profiles p ON p.tenant = u.tenant AND p.profile_id = u.profile_id
"""
_ORDINALS: Final = "SELECT user_id, ordinal FROM users WHERE tenant = $1 AND user_id = ANY($2::text[])"
_PROFILES: Final = """
SELECT profile_id, zone, preferences, quiet_hours FROM profiles_by_id($1)
"""
_SUPPRESSED: Final = """
SELECT s.tenant, s.channel, s.address, s.reason FROM unnest($1::text[], $2::text[], $3::text[]) AS g (tenant, channel, address)
JOIN suppressions s ON s.tenant = g.tenant AND s.channel = g.channel AND s.address = g.address
WHERE s.expires_ms IS NULL OR s.expires_ms > $4
"""
# LIMIT makes it a look into the index for each pair; EXISTS may be planned as a scan of all suppressions.
_SUPPRESSING: Final = """
SELECT t.tenant, c.channel FROM unnest($1::text[]) AS t (tenant), unnest($2::text[]) AS c (channel),
    LATERAL (SELECT 1 FROM suppressions s WHERE s.tenant = t.tenant AND s.channel = c.channel LIMIT 1) AS found
"""
_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, Any])
_CONTACTS: Final = msgspec.json.Decoder(dict[str, tuple[str, ...]])
_NO_ATTRIBUTES: Final[dict[str, Any]] = {}
_NO_CONTACTS: Final[dict[str, tuple[str, ...]]] = {}
_CHANNELS: Final = list(CHANNELS)


class PeopleReader:
    """Reads from a database. Only profiles are cached: they never change."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._profiles: dict[int, Profile] = {}

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        """Return those of the users that exist, by tenant and user id, and keep their profiles."""
        found: dict[str, dict[str, User]] = {tenant: {} for tenant in wanted}
        asked = [
            (tenant, user_id) for tenant, user_ids in wanted.items() for user_id in user_ids if is_storable(user_id)
        ]
        rows = await self._database.fetch(wanted, _USERS, *columns(asked, 2)) if asked else []
        self._make_room(len(rows))
        for tenant, zone, preferences, quiet, devices, attributes, contacts, *values in rows:
            self._keep(values[2], zone, preferences, quiet)
            values.append(_DEVICES.decode(devices) if devices else ())
            values.append(_ATTRIBUTES.decode(attributes) if attributes else _NO_ATTRIBUTES)
            values.append(_CONTACTS.decode(contacts) if contacts else _NO_CONTACTS)
            found[tenant][values[0]] = User(*values)
        return found

    async def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id."""
        wanted = set(profile_ids)
        found = {profile_id: self._profiles[profile_id] for profile_id in wanted if profile_id in self._profiles}
        missing = list(wanted - found.keys())
        if missing:
            rows = await self._database.fetch(NO_TENANT, _PROFILES, missing)
            self._make_room(len(rows))
            for row in rows:
                found[row[0]] = self._keep(*row)
        return found

    async def ordinals(self, tenant: str, user_ids: Collection[str]) -> dict[str, int]:
        """Return the ordinals of those of the users that exist, by user id."""
        asked = list(filter(is_storable, user_ids))
        return dict(await self._database.fetch(tenant, _ORDINALS, tenant, asked)) if asked else {}

    async def suppressed(
        self, wanted: Mapping[tuple[str, str], Collection[str]]
    ) -> dict[tuple[str, str], dict[str, str]]:
        """Return, by (tenant, channel), those of the addresses that are suppressed, with the reason."""
        keys = {
            (place, address): suppression_key(place[1], address)
            for place, addresses in wanted.items()
            for address in addresses
        }
        found: dict[tuple[str, str], dict[str, str]] = {place: {} for place in wanted}
        if not keys:
            return found
        asked = [(*place, key) for (place, _), key in keys.items()]
        rows = await self._database.fetch(
            {place[0] for place in wanted}, _SUPPRESSED, *columns(asked, 3), self._clock.now_ms()
        )
        reasons = {tuple(row[:3]): row[3] for row in rows}
        for (place, address), key in keys.items():
            if (*place, key) in reasons:
                found[place][address] = reasons[*place, key]
        return found

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """Return, by tenant, the channels on which any address is suppressed."""
        found: dict[str, set[str]] = {tenant: set() for tenant in tenants}
        rows = await self._database.fetch(found, _SUPPRESSING, list(found), _CHANNELS) if found else []
        for tenant, channel in rows:
            found[tenant].add(channel)
        return found

    def _make_room(self, number: int) -> None:
        if len(self._profiles) + number > PROFILE_CACHE_MAX:
            self._profiles = {}

    def _keep(self, profile_id: int, zone: str, preferences: str, quiet: str) -> Profile:
        kept = self._profiles.get(profile_id)
        if kept is None:
            kept = Profile(profile_id, zone, read_preferences(preferences), read_quiet_hours(quiet))
            self._profiles[profile_id] = kept
        return kept
