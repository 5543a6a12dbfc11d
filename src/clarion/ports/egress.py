"""Outbound calls: the only connections to other machines."""

from typing import Protocol

from clarion.domain.message import AppriseReply, AppriseRequest, HttpRequest, HttpResponse, SmtpReply, SmtpRequest


class HttpEgress(Protocol):
    """Guarded HTTP client: HTTP/2 where the peer has it, pooled, no redirects, refuses private addresses."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the response. Raises `EgressError`, which says whether the request may have been sent. Never takes
        longer than `request.timeout_ms`."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class SmtpEgress(Protocol):
    """Guarded SMTP sessions, pooled per (host, port, security, username)."""

    async def send(self, request: SmtpRequest) -> SmtpReply:
        """Return the decisive reply (250 at stage `data` is success). Raises `EgressError`."""
        ...

    async def check(self, request: SmtpRequest) -> SmtpReply:
        """Return the reply to connect, TLS, AUTH and NOOP, in a session of its own and without sending: 250 at stage `noop`
        is success. Raises `EgressError`."""
        ...

    async def close(self) -> None:
        """Quit all sessions."""
        ...


class AppriseEgress(Protocol):
    """Messages that the Apprise library turns into calls, each of which goes through an `HttpEgress`."""

    async def send(self, request: AppriseRequest) -> AppriseReply:
        """Return the result of a message. Raises `EgressError` when its last call got no response."""
        ...

    async def close(self) -> None:
        """Refuse further messages."""
        ...
