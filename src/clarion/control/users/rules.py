"""Validation of users and devices: from a request's body to the values to store."""

from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from clarion.control.users.preferences import Preferences, canonical
from clarion.domain import address
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits import (
    ADDRESS_CHARS_MAX,
    ATTRIBUTES_BYTES_MAX,
    CONTACTS_PER_CHANNEL_MAX,
    DEVICES_PER_USER_MAX,
    TOPICS_PER_LINE_MAX,
)
from clarion.domain.limits_processes import ADDRESS_CACHE_MAX
from clarion.domain.quiet import QuietHours, check_quiet
from clarion.domain.times import Time, check_time
from clarion.domain.user import Device, UserWrite

_ContactChannel = Literal["email", "sms", "whatsapp", "chat", "webhook"]
_Address = Annotated[str, Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)]


class SubscriptionKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a web-push subscription, base64url, as the browser gave them."""

    p256dh: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_=-]{80,100}$")]
    auth: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_=-]{20,30}$")]


class Subscription(msgspec.Struct, frozen=True):
    """A web-push subscription, as `PushSubscription.toJSON()` writes it; further fields of a browser are left out."""

    endpoint: str
    keys: SubscriptionKeys


class DeviceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device: a token of a push service, or a web-push subscription."""

    channel: Literal["push", "webpush"]
    token: _Address | None = None
    subscription: Subscription | None = None


class DeviceEntry(DeviceBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device inside a user."""

    id: str


class UserBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user. Contacts, locale, zone and attributes are replaced as a whole; preferences, quiet hours, devices and the
    time last seen only when given; the user joins `topics`. `contacts` holds further addresses per channel."""

    email: str | None = None
    phone: str | None = None
    whatsapp: str | None = None
    chat: _Address | None = None
    webhook: str | None = None
    contacts: dict[_ContactChannel, Annotated[list[_Address], Meta(max_length=CONTACTS_PER_CHANNEL_MAX)]] = {}
    locale: str = ""
    zone: str = ""
    attributes: dict[str, Any] = {}
    preferences: Preferences | None = None
    quiet_hours: QuietHours | None = None
    last_seen_at: Time | None = None
    devices: Annotated[list[DeviceEntry], Meta(max_length=DEVICES_PER_USER_MAX)] | None = None
    topics: Annotated[list[str], Meta(max_length=TOPICS_PER_LINE_MAX)] = []


class Places(msgspec.Struct, frozen=True):
    """The valid parts of locales and zones: IANA zones, ISO languages with scripts (`zh_Hant`), territories."""

    zones: frozenset[str]
    languages: frozenset[str]
    territories: frozenset[str]


class Known(msgspec.Struct, frozen=True):
    """The definitions of the tenant: categories with whether they are critical, and the keys of topics."""

    categories: Mapping[str, bool]
    topics: Container[str]


def check_user(user_id: str, body: UserBody, places: Places, known: Known) -> UserWrite:
    """Return the user to store. Raises `InvalidField` naming the first invalid field."""
    if body.zone and body.zone not in places.zones:
        raise InvalidField("is not an IANA time zone", field="zone")
    for topic in body.topics:
        if topic not in known.topics:
            raise InvalidField(f"no such topic: {topic[:100]}", field="topics", code="unknown_topic")
    return UserWrite(
        address.identifier(user_id, "id"),
        email=address.email(body.email, "email") if body.email is not None else None,
        phone=address.phone(body.phone, "phone") if body.phone is not None else None,
        whatsapp=address.phone(body.whatsapp, "whatsapp") if body.whatsapp is not None else None,
        chat=address.single_line(body.chat, "chat", ADDRESS_CHARS_MAX) if body.chat is not None else None,
        webhook=address.url(body.webhook, "webhook") if body.webhook is not None else None,
        locale=locale(body.locale, places.languages, places.territories) if body.locale else "",
        zone=body.zone,
        attributes=_attributes(body.attributes) if body.attributes else None,
        preferences=None if body.preferences is None else canonical(body.preferences, known.categories),
        devices=None if body.devices is None else _devices(body.devices),
        topics=tuple(body.topics),
        quiet_hours=None if body.quiet_hours is None else quiet_text(body.quiet_hours, "quiet_hours"),
        more_contacts=_contacts(body.contacts) if body.contacts else None,
        last_seen_ms=None if body.last_seen_at is None else check_time(body.last_seen_at, "last_seen_at"),
    )


def quiet_text(quiet: QuietHours, field: str = "") -> str:
    """Return quiet hours in stored form, equal ones as equal text. Raises `InvalidField`."""
    return msgspec.json.encode(check_quiet(quiet, field)).decode()


@lru_cache(maxsize=ADDRESS_CACHE_MAX)
def locale(text: str, languages: frozenset[str], territories: frozenset[str]) -> str:
    """Return a locale in BCP 47 form (`pt-BR`, `zh-Hant-TW`): a known language, then script and territory if given.
    Raises `InvalidField`."""
    language, *rest = text.replace("_", "-").split("-")
    parts = [language.lower()]
    if rest and len(rest[0]) == 4:
        parts.append(rest.pop(0).title())
    good = "_".join(parts) in languages
    if rest:
        parts.append(rest.pop(0).upper())
        good = good and parts[-1] in territories
    if not good or rest:
        raise InvalidField("is not a known locale such as en, pt-BR or zh-Hant-TW", field="locale")
    return "-".join(parts)


def check_device(device_id: str, body: DeviceBody, path: str = "") -> Device:
    """Return the device to store; a subscription becomes its token, as JSON text."""
    address.identifier(device_id, f"{path}id")
    if body.channel == "webpush":
        if body.subscription is None or body.token is not None:
            raise InvalidField("a webpush device takes a subscription and no token", field=f"{path}subscription")
        address.url(body.subscription.endpoint, f"{path}subscription.endpoint")
        return Device(device_id, "webpush", msgspec.json.encode(body.subscription).decode())
    if body.token is None or body.subscription is not None:
        raise InvalidField("a push device takes a token and no subscription", field=f"{path}token")
    return Device(device_id, "push", address.single_line(body.token, f"{path}token", ADDRESS_CHARS_MAX))


def _devices(entries: list[DeviceEntry]) -> tuple[Device, ...]:
    devices = tuple(check_device(entry.id, entry, f"devices[{index}].") for index, entry in enumerate(entries))
    if len({device.device_id for device in devices}) < len(devices):
        raise InvalidField("has the same id twice", field="devices")
    return devices


def _contacts(contacts: Mapping[_ContactChannel, Sequence[str]]) -> str | None:
    kept = {
        channel: tuple(
            dict.fromkeys(
                address.contact(Channel(channel), text, f"contacts.{channel}[{index}]")
                for index, text in enumerate(texts)
            )
        )
        for channel, texts in contacts.items()
        if texts
    }
    return msgspec.json.encode(kept, order="sorted").decode() if kept else None


def _attributes(attributes: dict[str, Any]) -> str:
    numbers(attributes, "attributes")
    try:
        text = msgspec.json.encode(attributes)
    except (OverflowError, RecursionError) as error:
        raise InvalidField(f"cannot be stored: {error}", field="attributes") from None
    if len(text) > ATTRIBUTES_BYTES_MAX:
        raise InvalidField(f"is longer than {ATTRIBUTES_BYTES_MAX} bytes of JSON", field="attributes")
    return text.decode()
