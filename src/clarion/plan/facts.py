"""The facts for decisions about sending: look-ups in gathered facts."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, TypeAlias

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.route import Route
from clarion.domain.user import Device, Profile, User, readable
from clarion.journal.events import Recipient, Request
from clarion.plan.claims import Blocks, Claims
from clarion.plan.request_facts import RequestFactsKey, request_facts_key
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.rules.profile_rules import Gate, gate
from clarion.plan.rules.request_facts import RequestFacts

NOBODY: Final = 0
"""Profile id of inline recipients, who have no preferences."""

REQUEST_FACTS: Final = "settings"
"""Kind of needs by `RequestFactsKey`."""
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
"""Kind of needs by `SendKey`: all facts for deciding about some recipients of a request."""

SendKey: TypeAlias = tuple[RequestFactsKey, tuple[str, ...], tuple[tuple[Channel, str], ...]]
"""The request facts' key, the user ids, and the addresses of inline recipients."""


class SendFacts(msgspec.Struct, frozen=True):
    """The gathered facts. A look-up of a fact that was not gathered raises `MissingFacts`; one of a fact that could not
    be read raises the error of the read, so that only the decisions that depend on it fail."""

    request_facts: dict[RequestFactsKey, RequestFacts] = {}
    gates: dict[int, dict[int, Gate]] = {}
    """By identity of the request facts, then by profile id."""
    users: dict[str, dict[str, User | None]] = {}
    """By tenant and user id; None is a deleted user."""
    profiles: dict[int, Profile] = {}
    suppressions: dict[str, "Suppressions | None"] = {}
    """By tenant; None has no suppressions at all."""
    caps: dict[tuple[str, bytes], Blocks] = {}
    """By tenant and rule id."""
    cancelled: dict[bytes, bool] = {}
    """By broadcast id."""
    failures: dict[tuple[str, Any], Exception] = {}
    """By kind and key: the error of a failed read."""

    def request_facts_of(self, tenant: str, request: Request, route: Route | None = None) -> RequestFacts:
        """Return the facts that all recipients of a request share."""
        key = request_facts_key(tenant, request, route)
        found = self.request_facts.get(key)
        return found if found is not None else self._raise_missing(REQUEST_FACTS, key)

    def user(self, tenant: str, user_id: str) -> User | None:
        """Return a user, None for a deleted one."""
        try:
            return self.users[tenant][user_id]
        except KeyError:
            self._raise_missing(USERS, (tenant, user_id))

    def profile(self, profile_id: int) -> Profile:
        """Return a profile of users."""
        found = self.profiles.get(profile_id)
        return found if found is not None else self._raise_missing(PROFILES, profile_id)

    def gate(self, request_facts: RequestFacts, profile_id: int, zone: str, now_ms: int) -> Gate:
        """Return the gate that all users of a profile share at a time (Unix ms); `zone` is used for inline recipients
        only."""
        if profile_id == NOBODY:
            return gate(request_facts, Profile(NOBODY, zone, {}), now_ms)
        known = self.gates.get(id(request_facts), _NO_GATES).get(profile_id)
        if known is not None and now_ms < known.valid_until_ms:
            return known
        return gate(request_facts, self.profile(profile_id), now_ms)

    def suppressed(self, tenant: str) -> Mapping[tuple[str, str], str]:
        """Return the tenant's suppressed addresses, by (channel, address), each with the reason."""
        try:
            return self.suppressions[tenant] or _NONE
        except KeyError:
            self._raise_missing(SUPPRESSING, tenant)

    def is_cancelled(self, broadcast: bytes) -> bool:
        """Return whether a broadcast was cancelled."""
        found = self.cancelled.get(broadcast)
        return found if found is not None else self._raise_missing(BROADCASTS, broadcast)

    def claims(self, now_ms: int) -> Claims:
        """Return new claims on the gathered caps, at a time (Unix ms)."""
        return Claims(self.caps, now_ms)

    def _raise_missing(self, kind: str, key: Any) -> NoReturn:
        error = self.failures.get((kind, key))
        raise MissingFacts(Need({kind: (key,)})) if error is None else error


_NO_GATES: Final[Mapping[int, Gate]] = {}
_NONE: Final[Mapping[tuple[str, str], str]] = {}


class Suppressions(Mapping[tuple[str, str], str]):
    """The gathered addresses of a tenant, by (channel, address). A look-up of any other address raises `MissingFacts`,
    or the error of its failed read."""

    __slots__ = ("_failures", "_tenant", "_whys")

    def __init__(self, tenant: str, failures: Mapping[tuple[str, Any], Exception]) -> None:
        self._tenant = tenant
        self._failures = failures
        self._whys: dict[tuple[str, str], str | None] = {}

    def add(self, causes: Mapping[tuple[str, str], str | None]) -> None:
        """Add addresses, each with the reason of its suppression, None if it is not suppressed."""
        self._whys.update(causes)

    def knows(self, channel: str, address: str) -> bool:
        """Return whether an address was gathered."""
        return (channel, address) in self._whys

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        """Return the reason why a (channel, address) is suppressed, else `default`. An empty address is never
        suppressed."""
        try:
            return self._whys[key] or default
        except KeyError:
            if not key[1]:
                return default
            need = (self._tenant, *key)
            raise self._failures.get((SUPPRESSIONS, need)) or MissingFacts(Need({SUPPRESSIONS: (need,)})) from None

    def __getitem__(self, key: tuple[str, str]) -> str:
        cause: str | None = self.get(key)
        if cause is None:
            raise KeyError(key)
        return cause

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (key for key, cause in self._whys.items() if cause is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True


def user_context(user: User | Recipient) -> dict[str, Any]:
    """Return the values that a template may read as `user`."""
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
