"""What a request passes before anything of its body is read: its credential, the limits on requests, and the slots of
those under way."""

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

import msgspec

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.cookies import SESSION_COOKIE, cookie
from clarion.domain.errors import Forbidden, Overloaded, QuotaStatus, RequestLimited, Unauthorized
from clarion.domain.own_pages import OwnPages
from clarion.domain.permissions import PUBLIC, lacks
from clarion.domain.person import SESSION_TOKEN_PREFIX
from clarion.domain.security_events import SecurityEvent
from clarion.edge.one_a_turn import OneATurn
from clarion.edge.peers import peers_of
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller, Route
from clarion.ways_in.http.admission import SHARE_USED, Admission, ConcurrencyLimits
from clarion.ways_in.http.credentials import CREDENTIAL_NEEDED, Credentials
from clarion.ways_in.http.request_limits import RequestLimits

_FIELDS: Final = {ActorKind.USER: "user", ActorKind.PERSON: "person"}
"""Where the security log has the id of an actor."""
_ANYONE: Final = Caller("", Actor(ActorKind.ANYONE, ""), frozenset())


class PermissionRefused(Forbidden):
    """A caller lacks the permission of a route."""

    def __init__(self, permission: str, caller: Caller) -> None:
        super().__init__(lacks(permission), field="Authorization")
        self.caller = caller


class Gate(NamedTuple):
    """The limits that all routes of an API process share."""

    credentials: Credentials
    requests: RequestLimits
    concurrency: ConcurrencyLimits
    telemetry: Telemetry
    heavy: OneATurn
    own_pages: OwnPages


class Visitor(msgspec.Struct, frozen=True, gc=False):
    """Who makes a request. `owners` are those of the slots it takes; `charge` is the state of the limit that it was charged
    to, None where none counts it."""

    caller: Caller
    peers: tuple[str, ...]
    owners: tuple[Hashable, ...]
    charge: QuotaStatus | None


class Entrance:
    """The gate of one route."""

    def __init__(self, route: Route, gate: Gate) -> None:
        self._route = route
        self._name = f"{route.method} {route.path}"
        self._slots = gate.concurrency.of(route)
        self._credentials, self._requests, self._telemetry = gate.credentials, gate.requests, gate.telemetry
        self._own_pages = gate.own_pages

    async def identify(self, headers: Mapping[str, str], client: tuple[str, int] | None) -> Visitor:
        """Return who makes a request, which is charged to the limits on requests. Raises `Unauthorized`, `PermissionRefused`,
        `RequestLimited`, and `Overloaded` when the credential cannot be checked now."""
        route, peers, caller = self._route, peers_of(client), _ANYONE
        if route.health:
            return Visitor(caller, peers, peers, None)
        try:
            if route.permission == PUBLIC:
                return Visitor(caller, peers, peers, self._requests.charge_peer(route.path, peers, route.cost))
            secret = self._secret(headers, peers)
            address = "" if client is None else client[0]
            caller = await self._credentials.caller(secret, address, peers, self._name)
            self._check_permission(caller, peers)
            tenant, user = caller.tenant, caller.user_id
            owners: tuple[Hashable, ...] = (tenant,) if user is None else (tenant, (tenant, user))
            return Visitor(caller, peers, owners, await self._requests.charge_caller(caller))
        except RequestLimited as refusal:
            refusal.is_anonymous = caller is _ANYONE
            if refusal.request_status is not None:
                self._record(SecurityEvent.REQUEST_LIMIT_REACHED, refusal.code, peers, caller)
            raise

    def refund(self, visitor: Visitor) -> None:
        """Take back the charge of a request without a credential whose caller has proved who it is."""
        self._requests.refund_peer(self._route.path, visitor.peers, self._route.cost)

    def admit(self, visitor: Visitor) -> Admission:
        """Return the admission of a request to the slots. Raises `Overloaded`."""
        try:
            return self._slots.admit(visitor.owners)
        except Overloaded as refusal:
            if refusal.code == SHARE_USED:
                self._record(SecurityEvent.REQUEST_LIMIT_REACHED, refusal.code, visitor.peers, visitor.caller)
            raise

    def _secret(self, headers: Mapping[str, str], peers: tuple[str, ...]) -> str:
        """Return the credential of a request: a bearer's or, without one, the session in the cookie of one of our own pages. Raises
        `Unauthorized` without one, and `Forbidden` for a session that another page uses."""
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and (secret := secret.strip()) and not secret.startswith(SESSION_TOKEN_PREFIX):
            return secret
        session = cookie(headers, SESSION_COOKIE) if "authorization" not in headers else None
        if not session or not session.startswith(SESSION_TOKEN_PREFIX):
            self._record(SecurityEvent.CREDENTIAL_REFUSED, "missing", peers)
            raise Unauthorized(CREDENTIAL_NEEDED, field="Authorization", reason="missing")
        try:
            self._own_pages.check(self._route.method, headers, session)
        except Forbidden as refusal:
            self._record(SecurityEvent.ORIGIN_REFUSED, refusal.code, peers)
            raise
        return session

    def _check_permission(self, caller: Caller, peers: tuple[str, ...]) -> None:
        needed = self._route.permission
        if needed not in caller.permissions:
            self._record(SecurityEvent.SCOPE_REFUSED, needed, peers, caller)
            raise PermissionRefused(needed, caller)

    def _record(self, event: SecurityEvent, reason: str, peers: tuple[str, ...], caller: Caller = _ANYONE) -> None:
        actor = caller.actor
        known = {"tenant": caller.tenant, _FIELDS.get(actor.kind, "key_id"): actor.id}
        fields = {name: value for name, value in known.items() if value}
        self._telemetry.security(event, reason=reason, peer=peers[0], route=self._name, **fields)
