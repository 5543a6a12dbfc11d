"""One SMTP session (RFC 5321) as an asyncio protocol, pipelined (RFC 2920) where the server offers it.

A message costs two round trips and some 60 us; a general client costs seven times that.
"""

import asyncio
import base64
import contextlib
import re
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final, cast

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import SMTP_REPLY_BYTES_MAX
from clarion.domain.message import SmtpReply, SmtpRequest

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_SIZE_DIGITS: Final = 20
"""Maximum digits of the number in EHLO (RFC 1870 4)."""
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f-\x9f<>\u2028\u2029\ud800-\udfff]")
_NO_UTF8: Final = SmtpReply("mail", 550, "5.6.7 the mail server does not offer SMTPUTF8 (RFC 6531)")
"""A server's reply to an address in a script that it does not support; it is returned without asking the server."""


def wire_form(payload: bytes) -> bytes:
    """Return a message in the form of DATA: every line ends in CRLF, leading dots are doubled, the final dot
    follows."""
    breaks = payload.count(b"\r\n")
    if payload.count(b"\n") != breaks or payload.count(b"\r") != breaks:
        payload = _LINE_END.sub(b"\r\n", payload)
    payload = payload.replace(b"\r\n.", b"\r\n..")
    if payload.startswith(b"."):
        payload = b"." + payload
    return payload + (b".\r\n" if payload.endswith(b"\r\n") else b"\r\n.\r\n")


class SmtpSession(asyncio.Protocol):
    """A connection. The caller calls `greet`, then `send` for one message after another, then `quit`. `hello_name` is
    the client's name in EHLO.

    `payload_out` is whether the final dot of the current message has been written: a connection lost before that has
    certainly delivered nothing, one lost after it may have.
    """

    def __init__(self, hello_name: str) -> None:
        self._hello_name = hello_name
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._replies: deque[tuple[int, str]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport
        self._features: dict[str, str] = {}
        self.closed = False
        self.payload_out = False
        self.secure = False
        self.messages = 0
        self.idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake a caller that waits for a reply."""
        self.closed = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Split received bytes into replies, with multi-line replies joined."""
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        if len(self._buffer) > SMTP_REPLY_BYTES_MAX or len(self._lines) + len(self._replies) > 256:
            self._transport.abort()
            return
        self._buffer = rest
        for raw in lines:
            line = raw.rstrip(b"\r").decode("utf-8", "replace")
            if not line[:3].isdecimal() or line[3:4] not in ("", " ", "-"):
                self._transport.abort()
                return
            self._lines.append(line[4:])
            if line[3:4] != "-":
                self._replies.append((int(line[:3]), "\n".join(self._lines)))
                self._lines = []
        if self._replies:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _reply(self) -> tuple[int, str]:
        """Return the next reply. Raises `EgressError` when the connection ends first."""
        while not self._replies:
            if self.closed:
                sent = Sent.MAYBE if self.payload_out else Sent.NO
                raise EgressError("the mail server closed the connection", sent=sent)
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._replies.popleft()

    async def _ask(self, line: str) -> tuple[int, str]:
        self._transport.write(line.encode() + b"\r\n")
        return await self._reply()

    async def greet(self, request: SmtpRequest, tls: ssl.SSLContext) -> SmtpReply | None:
        """Prepare the session for MAIL: banner, EHLO, STARTTLS, AUTH. Return the reply that refused, or None. Raises
        `EgressError`."""
        self.secure = request.security == "tls"
        code, text = await self._reply()
        if code != 220:
            return SmtpReply("connect", code, text)
        if refusal := await self._hello():
            return refusal
        if request.security == "starttls":
            code, text = await self._ask("STARTTLS")
            if code != 220:
                return SmtpReply("connect", code, text)
            await self._start_tls(request.host, tls)
            if refusal := await self._hello():
                return refusal
        if request.username is None:
            return None
        return await self._log_in(request.username, request.password or "")

    async def _start_tls(self, host: str, tls: ssl.SSLContext) -> None:
        if self._buffer or self._replies or self._lines:
            # Plain text sent with the 220 would be mistaken for a reply inside TLS (CVE-2011-0411 and similar).
            raise EgressError("the mail server spoke before the TLS handshake", sent=Sent.NO)
        transport = await self._loop.start_tls(self._transport, self, tls, server_hostname=host)
        if transport is None:
            raise EgressError("the connection ended during the TLS handshake", sent=Sent.NO)
        self._transport, self.secure = transport, True

    async def _hello(self) -> SmtpReply | None:
        code, text = await self._ask(f"EHLO {self._hello_name}")
        if code != 250:
            return SmtpReply("connect", code, text)
        words = (line.partition(" ") for line in text.split("\n")[1:])
        self._features = {name.upper(): value for name, _, value in words}
        return None

    async def _log_in(self, username: str, password: str) -> SmtpReply | None:
        """Authenticate by PLAIN (RFC 4616), or LOGIN where only that is offered. Return the reply that refused, or
        None."""
        mechanisms = self._features.get("AUTH", "").upper().split()
        if "LOGIN" in mechanisms and "PLAIN" not in mechanisms:
            code, text = await self._ask("AUTH LOGIN")
            for secret in (username, password):
                if code == 334:
                    code, text = await self._ask(base64.b64encode(secret.encode()).decode())
        else:
            token = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
            code, text = await self._ask(f"AUTH PLAIN {token}")
        return None if code == 235 else SmtpReply("auth", code, text)

    async def send(self, request: SmtpRequest) -> SmtpReply:
        """Return the decisive reply to one message. Raises `EgressError` when the connection ends first.

        A message that the server's EHLO rules out is not sent: the reply is then the one that the server would have
        given.
        """
        if _UNSAFE.search(request.sender) or _UNSAFE.search(request.recipient):
            raise EgressError("an envelope address cannot be put on the wire", sent=Sent.NO)
        if not request.utf8 and not (request.sender + request.recipient).isascii():
            raise EgressError("an envelope address cannot be put on the wire", sent=Sent.NO)
        if refusal := self._unable(request):
            return refusal
        self.payload_out = False
        self.messages += 1
        options = f" SIZE={len(request.payload)}" if "SIZE" in self._features else ""
        if request.utf8:
            # A server with SMTPUTF8 also has 8BITMIME (RFC 6531 3.1).
            options += " BODY=8BITMIME SMTPUTF8"
        commands = (f"MAIL FROM:<{request.sender}>{options}", f"RCPT TO:<{request.recipient}>", "DATA")
        if "PIPELINING" in self._features:
            replies = await self._pipelined(commands)
        else:
            replies = []
            for command in commands:
                replies.append(await self._ask(command))
                if replies[-1][0] >= 400:
                    break
        stages = zip(("mail", "rcpt", "data"), replies, strict=False)
        refused = next((SmtpReply(stage, *reply) for stage, reply in stages if reply[0] >= 400), None)
        if refused is None:
            return await self._payload(request.payload)
        # A server may close the connection after a refusal; the decisive reply has arrived.
        with contextlib.suppress(EgressError):
            if len(replies) == 3 and replies[2][0] == 354:
                # Pipelined DATA was accepted although no recipient was: end it empty, so that nobody receives it.
                await self._ask(".")
            if not self.closed and refused.code != 421:
                await self._ask("RSET")
        return refused

    async def _pipelined(self, commands: Sequence[str]) -> list[tuple[int, str]]:
        """Return the replies to commands sent at once; fewer when the connection ended after a refusal."""
        self._transport.write("\r\n".join((*commands, "")).encode())
        replies: list[tuple[int, str]] = []
        for _ in commands:
            try:
                replies.append(await self._reply())
            except EgressError:
                if all(code < 400 for code, _ in replies):
                    raise
                break
        return replies

    def _unable(self, request: SmtpRequest) -> SmtpReply | None:
        """Return the refusal of a message that the server's EHLO rules out (RFC 1870, 6531), or None."""
        if request.utf8 and "SMTPUTF8" not in self._features:
            return _NO_UTF8
        most = self._features.get("SIZE", "").strip()
        if most.isascii() and most.isdecimal() and len(most) <= _SIZE_DIGITS and 0 < int(most) < len(request.payload):
            return SmtpReply("mail", 552, f"5.3.4 the mail server takes messages of up to {most} bytes")
        return None

    async def _payload(self, payload: bytes) -> SmtpReply:
        body = wire_form(payload)
        self.payload_out = True
        self._transport.write(body)
        code, text = await self._reply()
        self.payload_out = False
        return SmtpReply("data", code, text)

    async def noop(self) -> SmtpReply:
        """Return the reply to NOOP."""
        return SmtpReply("noop", *await self._ask("NOOP"))

    def quit(self) -> None:
        """Send QUIT and close the connection without waiting for the reply."""
        if not self.closed:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
            self.closed = True

    def abort(self) -> None:
        """Close the connection at once."""
        self.closed = True
        self._transport.abort()
