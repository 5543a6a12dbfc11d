"""Guarded SMTP: pools of sessions that connect to checked addresses only."""

import asyncio
import ssl
from collections.abc import Iterable

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import (
    EGRESS_CONNECT_TIMEOUT_MS_DEFAULT,
    SMTP_POOLS_MAX,
    SMTP_SESSION_IDLE_MS,
    SMTP_SESSION_MESSAGES_MAX,
    SMTP_SESSIONS_MAX,
)
from clarion.domain.message import SmtpReply, SmtpRequest
from clarion.outbound.net.guard import SMTP_PORTS
from clarion.outbound.net.resolver import Resolver
from clarion.outbound.net.smtp_session import SmtpSession

_Key = tuple[str, int, str, str | None, str | None]


class _Pool:
    """The sessions of one account at one server; `slots` limits the number of open sessions."""

    def __init__(self) -> None:
        self.idle: list[SmtpSession] = []
        self.slots = asyncio.Semaphore(SMTP_SESSIONS_MAX)
        self.users = 0


class GuardedSmtp:
    """Implements the `SmtpEgress` port. A server's certificate has to be for the host's name, regardless of its
    address.

    `ca_file` is a PEM file of a CA to trust in addition to the well-known ones; `allow_plain` permits sessions without
    TLS, and AUTH over them; `hello_name` is this machine's name in EHLO, which strict servers expect to resolve.
    """

    def __init__(
        self,
        allow_private: Iterable[str] = (),
        ca_file: str | None = None,
        *,
        allow_plain: bool = False,
        ports: Iterable[range] = SMTP_PORTS,
        resolver: Resolver | None = None,
        hello_name: str = "localhost",
    ) -> None:
        self._resolver = resolver or Resolver(allow_private)
        self._allow_plain = allow_plain
        self._ports = tuple(ports)
        self._hello_name = hello_name
        self._tls = ssl.create_default_context()
        if ca_file:
            self._tls.load_verify_locations(ca_file)
        # The password is part of the key: a caller with only the user's name never gets an authenticated session.
        self._pools: dict[_Key, _Pool] = {}

    async def send(self, request: SmtpRequest) -> SmtpReply:
        """Return the decisive reply: 250 at stage `data` is success. Raises `EgressError`; `sent` is `MAYBE` only when
        the whole message was sent and its reply did not arrive."""
        if request.security not in ("tls", "starttls") and not self._allow_plain:
            raise EgressError("SMTP without TLS is not allowed", sent=Sent.NO, blocked=True)
        key = (request.host, request.port, request.security, request.username, request.password)
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= SMTP_POOLS_MAX:
                self._forget_unused()
            pool = self._pools[key] = _Pool()
        pool.users += 1
        session: SmtpSession | None = None
        try:
            async with asyncio.timeout(request.timeout_ms / 1000), pool.slots:
                while session := self._reusable(pool):
                    reply = await self._try(session, request)
                    if reply is not None:
                        return self._done(pool, session, reply)
                session = await self._connect(request)
                if refusal := await session.greet(request, self._tls):
                    return refusal
                return self._done(pool, session, await session.send(request))
        except TimeoutError:
            sent = Sent.MAYBE if session is not None and session.payload_out else Sent.NO
            raise EgressError("the mail server took too long", sent=sent) from None
        except OSError as error:
            # Only the TLS handshake raises this: for a lost connection the session raises `EgressError`.
            raise EgressError(f"TLS with {request.host} failed: {error}", sent=Sent.NO) from None
        finally:
            pool.users -= 1
            if session is not None and session.idle is None and not session.closed:
                session.abort()

    async def check(self, request: SmtpRequest) -> SmtpReply:
        """Return the decisive reply to connect, TLS, AUTH and NOOP in a new session: 250 at stage `noop` is success.
        Raises `EgressError`."""
        if request.security not in ("tls", "starttls") and not self._allow_plain:
            raise EgressError("SMTP without TLS is not allowed", sent=Sent.NO, blocked=True)
        session: SmtpSession | None = None
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                session = await self._connect(request)
                reply = await session.greet(request, self._tls) or await session.noop()
            session.quit()
            return reply
        except TimeoutError:
            raise EgressError("the mail server took too long", sent=Sent.NO) from None
        except OSError as error:
            raise EgressError(f"TLS with {request.host} failed: {error}", sent=Sent.NO) from None
        finally:
            if session is not None and not session.closed:
                session.abort()

    async def close(self) -> None:
        """Quit all idle sessions."""
        for pool in self._pools.values():
            while pool.idle:
                self._discard(pool.idle.pop())
        self._pools.clear()

    async def _try(self, session: SmtpSession, request: SmtpRequest) -> SmtpReply | None:
        """Return the reply over a reused session, or None when its connection was lost before the message can have been
        sent."""
        try:
            reply = await session.send(request)
        except EgressError as error:
            if error.sent is Sent.MAYBE:
                raise
            return None
        if reply.code == 421 and reply.stage == "mail":
            session.abort()
            return None
        return reply

    async def _connect(self, request: SmtpRequest) -> SmtpSession:
        """Return a session connected to the first checked address that accepts. Raises `EgressError` when none does."""
        addresses = await self._resolver.addresses(request.host.strip("[]"), request.port, self._ports)
        loop = asyncio.get_running_loop()
        tls = request.security == "tls"
        cause = ""
        for address in addresses:
            try:
                async with asyncio.timeout(EGRESS_CONNECT_TIMEOUT_MS_DEFAULT / 1000):
                    _, session = await loop.create_connection(
                        lambda: SmtpSession(self._hello_name),
                        address,
                        request.port,
                        ssl=self._tls if tls else None,
                        server_hostname=request.host if tls else None,
                    )
                    return session
            except OSError as error:  # includes time-outs
                cause = error.strerror or "no answer in time"
        raise EgressError(f"cannot connect to {request.host}: {cause}", sent=Sent.NO)

    def _reusable(self, pool: _Pool) -> SmtpSession | None:
        """Return the most recently used idle session, so that spare ones expire, or None."""
        while pool.idle:
            session = pool.idle.pop()
            if session.idle is not None:
                session.idle.cancel()
                session.idle = None
            if not session.closed:
                return session
        return None

    def _done(self, pool: _Pool, session: SmtpSession, reply: SmtpReply) -> SmtpReply:
        """Return the reply, after putting the session back for the next message unless it has reached its limits."""
        if session.messages >= SMTP_SESSION_MESSAGES_MAX or reply.code == 421:
            session.quit()
        elif not session.closed:
            loop = asyncio.get_running_loop()
            session.idle = loop.call_later(SMTP_SESSION_IDLE_MS / 1000, session.quit)
            pool.idle.append(session)
        return reply

    def _discard(self, session: SmtpSession) -> None:
        if session.idle is not None:
            session.idle.cancel()
        session.quit()

    def _forget_unused(self) -> None:
        for key in [key for key, pool in self._pools.items() if not pool.users]:
            for session in self._pools.pop(key).idle:
                self._discard(session)
