"""A user as planning reads it: contacts, devices, locale, zone and profile."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clarion.domain.quiet import QuietHours


class Device(msgspec.Struct, frozen=True, array_like=True):
    """A push token or web-push subscription; `kind` is the channel it serves (`push` or `webpush`)."""

    device_id: str
    kind: str
    token: str


class User(msgspec.Struct, frozen=True):
    """A user of a tenant. `ordinal` is the store's own integer, dense and stable, never shown."""

    user_id: str
    ordinal: int
    profile_id: int
    email: str | None = None
    phone: str | None = None
    whatsapp: str | None = None
    chat: str | None = None
    webhook: str | None = None
    locale: str = ""
    zone: str = ""
    devices: tuple[Device, ...] = ()
    attributes: dict[str, Any] = {}
    more_contacts: dict[str, tuple[str, ...]] = {}


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A choice of a user until a time (Unix ms); after it no choice is set."""

    allowed: bool
    until_ms: int


class Profile(msgspec.Struct, frozen=True):
    """A class of users who share preferences, zone and quiet hours, and so share every decision made from them.

    `preferences` maps a category key (or `*`) to a map of channel (or `*`) to whether sending is allowed. `quiet_hours`
    of None are the tenant's.
    """

    profile_id: int
    zone: str
    preferences: dict[str, dict[str, bool | Choice]]
    quiet_hours: QuietHours | None = None


class UserWrite(msgspec.Struct, frozen=True):
    """A validated user to store: contacts, locale, zone and attributes replace those stored.

    `attributes` is JSON text, `preferences` canonical JSON (`canonical` in control/users/preferences.py). None leaves
    attributes empty, but preferences, devices, quiet hours and the time last seen as they are. The user joins `topics`
    and leaves none. `quiet_hours` is canonical JSON, empty for the tenant's; `more_contacts` is JSON of channel to
    further addresses.
    """

    user_id: str
    email: str | None = None
    phone: str | None = None
    whatsapp: str | None = None
    chat: str | None = None
    webhook: str | None = None
    locale: str = ""
    zone: str = ""
    attributes: str | None = None
    preferences: str | None = None
    devices: tuple[Device, ...] | None = None
    topics: tuple[str, ...] = ()
    quiet_hours: str | None = None
    more_contacts: str | None = None
    last_seen_ms: int | None = None


def readable(
    user_id: str, email: str | None, phone: str | None, locale: str, zone: str, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the data of a user that a template reads as `user`: attributes never override the other fields."""
    return {**attributes, "id": user_id, "email": email, "phone": phone, "locale": locale, "zone": zone}
