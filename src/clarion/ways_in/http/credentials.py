"""Credentials of requests: who the caller is, and how long a peer waits after refused ones.

A credential that was valid before is always checked, so that a client goes on while a neighbour behind the same address
guesses. It is remembered as a hash of this process alone, which lets nobody in: it decides only whether the credential
is checked. What a neighbour's guesses can delay is the first use of a credential in this process.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from clarion.domain.api_key import key_id_of
from clarion.domain.errors import Overloaded, RequestLimited, Unauthorized
from clarion.domain.limits_processes import CREDENTIAL_CHECKS_MAX, CREDENTIALS_KNOWN_MAX
from clarion.domain.person import SESSION_TOKEN_PREFIX
from clarion.domain.request_rate import seconds
from clarion.domain.security_events import SecurityEvent
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller
from clarion.ways_in.http.peer_waits import GrowingWaits, PeerWaits, RateWaits

Identify = Callable[[str, str], Awaitable[Caller | None]]
"""Returns the caller of a bearer credential that a client's address sent, or None when it is not valid; raises `Unauthorized` when it can say why."""

CREDENTIAL_NEEDED: Final = "needs 'Authorization: Bearer <key>' with a valid key"
DELAYED: Final = "credentials_delayed"
_KEY_ID_CHARS_MAX: Final = 64


class _Known:
    """Credentials that were valid. Those not used since `CREDENTIALS_KNOWN_MAX` others were used are forgotten."""

    def __init__(self) -> None:
        self.recent: set[int] = set()
        self.older: set[int] = set()

    def add(self, mark: int) -> None:
        if len(self.recent) >= CREDENTIALS_KNOWN_MAX:
            self.recent, self.older = set(), self.recent
        self.recent.add(mark)

    def discard(self, mark: int) -> None:
        self.recent.discard(mark)
        self.older.discard(mark)


class _Kind:
    """Keys, user tokens or sessions. They are counted apart, so that refused ones of one kind delay none of the others."""

    def __init__(self, refused: SecurityEvent, waits: PeerWaits | None) -> None:
        self.refused = refused
        self.waits = waits
        self.known = _Known()


class Credentials:
    """Checks the credentials of requests. Belongs to one event loop."""

    def __init__(
        self,
        identify: Identify,
        telemetry: Telemetry,
        now_ns: Callable[[], int],
        free: int,
        is_operator: Callable[[str], bool],
    ) -> None:
        """`now_ns` is a clock that never goes back. `free` is the number of refused keys of a peer that have no wait; 0
        is no wait at all. Keys of the operator have no wait."""
        self._identify = identify
        self._telemetry = telemetry
        self._now_ns = now_ns
        self._keys = _Kind(SecurityEvent.CREDENTIAL_REFUSED, GrowingWaits(free) if free else None)
        self._tokens = _Kind(SecurityEvent.TOKEN_REFUSED, RateWaits() if free else None)
        self._sessions = _Kind(SecurityEvent.SESSION_REFUSED, RateWaits() if free else None)
        self._is_operator = is_operator
        self._first_checks = 0

    async def caller(self, secret: str, address: str, peers: Sequence[str], route: str) -> Caller:
        """Return the caller of a credential that came from an address. Raises `Unauthorized` when it is not valid, `RequestLimited` when it is not
        checked now because of the peer's refused ones, and `Overloaded` when too many are being checked. `route` is for
        the security log."""
        kind = self._kind_of(secret)
        mark = hash(secret)
        try:
            if mark not in kind.known.recent:
                return await self._first(secret, mark, kind, address, peers, route)
            caller = await self._identify(secret, address)
            if caller is not None:
                return caller
            raise _refused(secret)
        except Unauthorized as refusal:
            kind.known.discard(mark)
            if kind.waits is not None and refusal.counts:
                kind.waits.count(peers, self._now_ns())
            self._telemetry.security(kind.refused, reason=refusal.reason, **_shown(secret, peers, route))
            raise

    def _kind_of(self, secret: str) -> _Kind:
        if secret.startswith(SESSION_TOKEN_PREFIX):
            return self._sessions
        return self._tokens if is_user_token(secret) else self._keys

    async def _first(
        self, secret: str, mark: int, kind: _Kind, address: str, peers: Sequence[str], route: str
    ) -> Caller:
        """Check a credential that was not used lately, unless its peer has to wait."""
        if mark not in kind.known.older and not self._is_operator(secret):
            self._wait(secret, kind, peers, route)
        if self._first_checks >= CREDENTIAL_CHECKS_MAX:
            raise Overloaded("too many credentials are being checked", retry_after_s=1)
        self._first_checks += 1
        try:
            caller = await self._identify(secret, address)
        finally:
            self._first_checks -= 1
        if caller is None:
            raise _refused(secret)
        kind.known.add(mark)
        return caller

    def _wait(self, secret: str, kind: _Kind, peers: Sequence[str], route: str) -> None:
        wait_ns = 0 if kind.waits is None else kind.waits.wait_ns(peers, self._now_ns())
        if wait_ns > 0:
            self._telemetry.security(SecurityEvent.CREDENTIAL_DELAYED, **_shown(secret, peers, route))
            detail = "too many credentials of this address were refused; this one was not checked"
            raise RequestLimited(detail, retry_after_s=seconds(wait_ns), code=DELAYED)


def _refused(secret: str) -> Unauthorized:
    if secret.startswith(SESSION_TOKEN_PREFIX):
        return Unauthorized("the session has ended; sign in again", field="Cookie", code="session_ended")
    return Unauthorized(CREDENTIAL_NEEDED, field="Authorization")


def is_user_token(secret: str) -> bool:
    """Return whether a credential has the form of a user token, a JWT."""
    return secret.count(".") == 2


def _shown(secret: str, peers: Sequence[str], route: str) -> dict[str, str]:
    """Return what the security log says of a credential: the id that a key claims, never its secret part."""
    shown = {"peer": peers[0], "route": route}
    key_id = key_id_of(secret)
    if key_id is not None and len(key_id) <= _KEY_ID_CHARS_MAX and key_id.isalnum():
        shown["key_id"] = key_id
    return shown
