"""The way in of the gateway: who may connect, and how long a connection stays."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from clarion.domain.errors import (
    CallerError,
    Forbidden,
    InvalidField,
    Malformed,
    Overloaded,
    RequestLimited,
    StoreUnavailable,
    Unauthorized,
)
from clarion.domain.inbox import Position
from clarion.domain.limits_gateway import REVOKED_CHECK_MS
from clarion.domain.origins import ORIGIN_CHARS_MAX
from clarion.domain.security_events import SecurityEvent
from clarion.domain.token_key import TokenKey
from clarion.edge.peers import peer_of
from clarion.edge.upgrades import Handshake, Headers, Socket
from clarion.gateway.client import Client
from clarion.gateway.codes import UNREADABLE, Closing
from clarion.gateway.hub import Hub
from clarion.gateway.messages import Hello
from clarion.gateway.refusals import Refusals, Waits
from clarion.gateway.sessions import LiveSession
from clarion.identity.tickets import Tickets
from clarion.identity.user_tokens import TokenClaims, token_revoked
from clarion.ports.clock import Clock
from clarion.ports.telemetry import Telemetry

LIVE_PATH: Final = "/v1/live"
_TICK_S: Final = 1.0


class Checks(NamedTuple):
    """What a connection is checked with. `identify` returns for whom a user token was issued and raises `Unauthorized`; `allows`
    says whether a tenant allows pages of an origin, `seen` reads a client's position and raises `InvalidField`; `token_key`
    says which generations of a tenant's keys are valid. `vouch` is told the address of a client with a valid credential: new
    connections from there are not held up. `client` returns the address of a client from that of a connection and the headers of its
    handshake, which a trusted proxy may have written. `waits` says how long peers wait after refused first frames."""

    identify: Callable[[str], Awaitable[TokenClaims]]
    allows: Callable[[str, str], Awaitable[bool]]
    seen: Callable[[TokenClaims, str], Position]
    token_key: Callable[[str], Awaitable[TokenKey]]
    vouch: Callable[[str], object] = lambda _address: None
    client: Callable[[str, Headers], str] = lambda address, _headers: address
    waits: Waits | None = None


class Door:
    """Lets clients in, and closes those whose credentials end."""

    def __init__(self, hub: Hub, tickets: Tickets, checks: Checks, clock: Clock, telemetry: Telemetry) -> None:
        self._hub = hub
        self._tickets = tickets
        self._checks = checks
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = Refusals(checks.waits, time.monotonic_ns)
        self._sessions: set[LiveSession] = set()
        self._some = asyncio.Event()
        """Whether there may be somebody: an idle gateway does nothing."""

    def __call__(self, handshake: Handshake) -> Socket | None:
        """Return a session for a handshake, None for one of another path."""
        if handshake.target.partition(b"?")[0] != LIVE_PATH.encode():
            return None
        origin = handshake.headers.get(b"origin", b"").decode("latin-1")
        host = handshake.headers.get(b"host", b"").decode("latin-1")
        session = LiveSession(
            self._hello,
            self._ended,
            self._checks.client(handshake.address, handshake.fields),
            origin,
            bool(origin) and urlsplit(origin).netloc == host,
            asyncio.get_running_loop().time(),
        )
        self._sessions.add(session)
        self.count_opened("websocket")
        self._some.set()
        return session

    async def admit(self, token: str | None, ticket: str | None, address: str, origin: str) -> TokenClaims:
        """Return for whom a credential was issued, and check the origin of the page. An empty origin is that of no page, or of
        the gateway's own. Raises `Unauthorized`, `Forbidden` for an origin that the tenant does not allow, and `RequestLimited` while
        the peer has to wait."""
        try:
            self._refusals.check(address, token or "")
            found = await (self._checks.identify(token or "") if ticket is None else self._redeem(ticket))
        except RequestLimited:
            self._telemetry.security(SecurityEvent.CREDENTIAL_DELAYED, peer=peer_of((address, 0)), route=LIVE_PATH)
            raise
        except Unauthorized as error:
            if error.counts or ticket is not None:
                self._refusals.count(address, token or "")
            self._telemetry.security(
                SecurityEvent.TOKEN_REFUSED, reason=error.code, peer=peer_of((address, 0)), route=LIVE_PATH
            )
            raise
        if origin and not await self._checks.allows(found.tenant, origin):
            self._telemetry.security(
                SecurityEvent.ORIGIN_REFUSED,
                tenant=found.tenant,
                user=found.user_id,
                peer=peer_of((address, 0)),
                route=LIVE_PATH,
                subject=origin[:ORIGIN_CHARS_MAX],
            )
            raise Forbidden("the tenant does not allow pages of this origin", field="Origin", code="origin_not_allowed")
        self._checks.vouch(address)
        if token is not None:
            self._refusals.accept(token)
        self._some.set()
        return found

    async def _redeem(self, ticket: str) -> TokenClaims:
        """Return for whom a ticket was issued, by a token that is still valid."""
        found = await self._tickets.redeem(ticket)
        if not (await self._checks.token_key(found.tenant)).permits(found.generation, self._clock.now_ms()):
            raise token_revoked()
        return found

    def seen(self, grant: TokenClaims, text: str | None) -> Position | None:
        """Return a client's position. Raises `InvalidField` for one that is not of its inbox."""
        return None if text is None else self._checks.seen(grant, text)

    def _hello(self, session: LiveSession, hello: Hello) -> None:
        session.task = asyncio.get_running_loop().create_task(self._enter(session, hello))

    async def _enter(self, session: LiveSession, hello: Hello) -> None:
        origin = "" if session.own_origin else session.origin
        try:
            found = await self.admit(hello.token, hello.ticket, session.address, origin)
            seen = self.seen(found, hello.position)
            if session.is_open:
                take(session, found)
                self._hub.join(session, seen)
        except (CallerError, StoreUnavailable) as error:
            session.close(closing_of(error))
        except Exception as error:  # noqa: BLE001 - the client is told, and the others are served
            self._telemetry.log("error", "gateway_hello_failed", error=repr(error))
            session.close(Closing.UNAVAILABLE)
        finally:
            session.task = None

    def _ended(self, session: LiveSession) -> None:
        self._sessions.discard(session)
        self._hub.leave(session)
        if not session.tenant and session.code in UNREADABLE:
            self._refusals.count(session.address)
        self.count_closed("websocket", session.code)

    def count_opened(self, transport: str) -> None:
        """Count a connection."""
        self._telemetry.count("gateway_opened", 1, transport=transport)

    def count_closed(self, transport: str, code: int) -> None:
        """Count a connection that has ended, with code 0 when its client left."""
        self._telemetry.count("gateway_closed", 1, transport=transport, code=str(code) if code else "client")

    async def watch(self) -> None:
        """Close clients that say nothing and those whose credentials have ended, until the task is cancelled."""
        due_ms = 0
        while True:
            self._hub.count()
            if not (self._sessions or len(self._hub)):
                self._some.clear()
                await self._some.wait()
            await asyncio.sleep(_TICK_S)
            now_s = asyncio.get_running_loop().time()
            for session in [one for one in self._sessions if one.due_s <= now_s]:
                session.tick(now_s)
            now_ms = self._clock.now_ms()
            if now_ms >= due_ms:
                due_ms = now_ms + REVOKED_CHECK_MS
                await self._close_revoked(now_ms)

    async def _close_revoked(self, now_ms: int) -> None:
        keys = dict[str, TokenKey]()
        for tenant in self._hub.tenants:
            with suppress(StoreUnavailable):  # the next round asks again
                keys[tenant] = await self._checks.token_key(tenant)
        self._end(self._hub.credentials.ended(self._hub.clients, keys, now_ms))

    def _end(self, clients: Iterable[Client]) -> None:
        for client in clients:
            self._hub.leave(client)
            client.close(Closing.UNAUTHORIZED)


def take(client: Client, found: TokenClaims) -> None:
    """Record whose a client is."""
    client.tenant, client.user_id = found.tenant, found.user_id
    client.generation, client.expires_ms = found.generation, found.expires_ms


def closing_of(error: CallerError | StoreUnavailable) -> Closing:
    """Return the code that tells a client of an error."""
    if isinstance(error, Forbidden):
        return Closing.ORIGIN
    if isinstance(error, (InvalidField, Malformed)):
        return Closing.MALFORMED
    if isinstance(error, StoreUnavailable):
        return Closing.UNAVAILABLE
    return Closing.TOO_MANY if isinstance(error, (Overloaded, RequestLimited)) else Closing.UNAUTHORIZED
