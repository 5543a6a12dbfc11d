"""The facts that decisions about sending look at, as values: look-ups of what was gathered before."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, TypeAlias

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.route import Route
from clarion.domain.user import Device, Profile, User, readable
from clarion.journal.events import Recipient, Request
from clarion.plan.claims import Blocks, Claims
from clarion.plan.rules.group import Gate, gate
from clarion.plan.rules.need import Lacking, Need
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import SettingKey, setting_key

NOBODY: Final = 0
"""Profile id of inline recipients: no preferences of their own."""

SETTINGS: Final = "settings"
"""Kind of needs by `SettingKey`."""
USERS: Final = "users"
"""Kind of needs by (tenant, user id)."""
PROFILES: Final = "profiles"
"""Kind of needs by profile id."""
SUPPRESSIONS: Final = "suppressions"
"""Kind of needs by (tenant, channel, address)."""
SUPPRESSING: Final = "suppressing"
"""Kind of needs by tenant: whether it has suppressions at all."""
BROADCASTS: Final = "broadcasts"
"""Kind of needs by broadcast id: whether it was cancelled."""
SENDS: Final = "sends"
"""Kind of needs by `SendKey`: everything that deciding about some recipients of a request takes."""

SendKey: TypeAlias = tuple[SettingKey, tuple[str, ...], tuple[tuple[Channel, str], ...]]
"""What is sent, to which users, and at which addresses recipients without an id are reached."""


class SendFacts(msgspec.Struct, frozen=True):
    """What was gathered. A look-up of anything else raises `Lacking`; one that could not be read raises why, so that only
    those who depend on it fail."""

    settings: dict[SettingKey, Setting] = {}
    gates: dict[int, dict[int, Gate]] = {}
    """By identity of the setting, then by profile id."""
    users: dict[str, dict[str, User | None]] = {}
    """By tenant and user id; None is gone."""
    profiles: dict[int, Profile] = {}
    suppressions: dict[str, "Suppressions | None"] = {}
    """By tenant; None has no suppressions at all."""
    caps: dict[tuple[str, bytes], Blocks] = {}
    """By tenant and rule id."""
    cancelled: dict[bytes, bool] = {}
    """By broadcast id."""
    failures: dict[tuple[str, Any], Exception] = {}
    """By kind and key: why it could not be read."""

    def setting(self, tenant: str, request: Request, route: Route | None = None) -> Setting:
        """Return what all recipients of a request share."""
        key = setting_key(tenant, request, route)
        found = self.settings.get(key)
        return found if found is not None else self._lacks(SETTINGS, key)

    def user(self, tenant: str, user_id: str) -> User | None:
        """Return a user, None for one that is gone."""
        try:
            return self.users[tenant][user_id]
        except KeyError:
            self._lacks(USERS, (tenant, user_id))

    def profile(self, profile_id: int) -> Profile:
        """Return a profile of users."""
        found = self.profiles.get(profile_id)
        return found if found is not None else self._lacks(PROFILES, profile_id)

    def gate(self, setting: Setting, profile_id: int, zone: str, now_ms: int) -> Gate:
        """Return what everyone of a profile shares at a time (Unix ms); `zone` counts for inline recipients only."""
        if profile_id == NOBODY:
            return gate(setting, Profile(NOBODY, zone, {}), now_ms)
        known = self.gates.get(id(setting), _NO_GATES).get(profile_id)
        if known is not None and now_ms < known.valid_until_ms:
            return known
        return gate(setting, self.profile(profile_id), now_ms)

    def suppressed(self, tenant: str) -> Mapping[tuple[str, str], str]:
        """Return which addresses of a tenant are suppressed, by (channel, address), and why."""
        try:
            return self.suppressions[tenant] or _NONE
        except KeyError:
            self._lacks(SUPPRESSING, tenant)

    def is_cancelled(self, broadcast: bytes) -> bool:
        """Return whether a broadcast was cancelled."""
        found = self.cancelled.get(broadcast)
        return found if found is not None else self._lacks(BROADCASTS, broadcast)

    def claims(self, now_ms: int) -> Claims:
        """Return claims that begin with what was gathered of caps, at a time (Unix ms)."""
        return Claims(self.caps, now_ms)

    def _lacks(self, kind: str, key: Any) -> NoReturn:
        error = self.failures.get((kind, key))
        raise Lacking(Need({kind: (key,)})) if error is None else error


_NO_GATES: Final[Mapping[int, Gate]] = {}
_NONE: Final[Mapping[tuple[str, str], str]] = {}


class Suppressions(Mapping[tuple[str, str], str]):
    """The addresses of a tenant that were looked up, by (channel, address). Asking for another one raises `Lacking`."""

    __slots__ = ("_failures", "_tenant", "_whys")

    def __init__(self, tenant: str, failures: Mapping[tuple[str, Any], Exception]) -> None:
        self._tenant = tenant
        self._failures = failures
        self._whys: dict[tuple[str, str], str | None] = {}

    def add(self, whys: Mapping[tuple[str, str], str | None]) -> None:
        """Take in addresses with why they are suppressed, None if they are not."""
        self._whys.update(whys)

    def knows(self, channel: str, address: str) -> bool:
        """Return whether an address was looked up."""
        return (channel, address) in self._whys

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        """Return why a (channel, address) is suppressed. Nobody suppresses what needs no address."""
        try:
            return self._whys[key] or default
        except KeyError:
            if not key[1]:
                return default
            need = (self._tenant, *key)
            raise self._failures.get((SUPPRESSIONS, need)) or Lacking(Need({SUPPRESSIONS: (need,)})) from None

    def __getitem__(self, key: tuple[str, str]) -> str:
        why: str | None = self.get(key)
        if why is None:
            raise KeyError(key)
        return why

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (key for key, why in self._whys.items() if why is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True


def user_context(user: User | Recipient) -> dict[str, Any]:
    """Return what a template may read as `user`."""
    if isinstance(user, Recipient):
        return {"id": user.user_id, "locale": user.locale, "zone": user.zone}
    return readable(user.user_id, user.email, user.phone, user.locale, user.zone, user.attributes)


def inline(recipient: Recipient) -> User:
    """Return an inline recipient as a user without id."""
    contacts = recipient.contacts or {}
    devices = tuple(
        Device("inline", kind, contacts[kind]) for kind in (Channel.PUSH, Channel.WEBPUSH) if kind in contacts
    )
    return User(
        user_id="",
        ordinal=0,
        profile_id=NOBODY,
        email=contacts.get("email"),
        phone=contacts.get("phone"),
        whatsapp=contacts.get("whatsapp"),
        chat=contacts.get("chat"),
        webhook=contacts.get("webhook"),
        locale=recipient.locale,
        zone=recipient.zone,
        devices=devices,
        attributes=recipient.attributes or {},
    )
