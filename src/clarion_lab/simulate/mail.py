"""A mail server (RFC 5321) as one asyncio protocol: STARTTLS, AUTH PLAIN, PIPELINING; it stores receipts, not mail."""

import asyncio
import re
import ssl
import time
from binascii import a2b_base64
from typing import cast

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.limits import SIMULATOR_BODY_BYTES_MAX
from clarion_lab.simulate.outages import Outages
from clarion_lab.simulate.receipts import Receipts

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^@>\r\n]{1,200})", re.IGNORECASE | re.MULTILINE)
_END = b"\r\n.\r\n"
_LINE_BYTES_MAX = 4_096
_FINAL = {
    Answer.ACCEPTED: b"250 2.0.0 queued\r\n",
    Answer.THROTTLE: b"454 4.7.0 slow down\r\n",
    Answer.ERROR_500: b"451 4.3.0 try again\r\n",
    Answer.UNAVAILABLE: b"421 4.3.2 service not available, closing transmission channel\r\n",
    Answer.UNAUTHENTICATED: b"530 5.7.0 authentication required\r\n",
    Answer.INVALID_TOKEN: b"550 5.1.1 no such mailbox\r\n",
}
"""Replies to the final dot. The delivery key decides about a dead mailbox, so it is refused here and not at RCPT."""


class MailProtocol(asyncio.Protocol):
    """One session. With `password`, AUTH must present it."""

    def __init__(
        self,
        receipts: Receipts,
        tls: ssl.SSLContext,
        latency_ms: int,
        password: str | None = None,
        outages: Outages | None = None,
    ) -> None:
        self._outages = outages or Outages((), time.monotonic)
        self._receipts = receipts
        self._tls = tls
        self._latency_s = latency_ms / 1000
        self._password = password
        self._secure = False
        self._buffer = bytearray()
        self._in_data = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 simulator ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Read commands and messages; replies to one read are written together."""
        self._buffer += data
        out: list[bytes] = []
        while self._message(out) if self._in_data else self._line(out):
            pass
        if len(self._buffer) > (SIMULATOR_BODY_BYTES_MAX if self._in_data else _LINE_BYTES_MAX):
            self._transport.abort()
        elif out:
            self._transport.write(b"".join(out))

    def abort(self) -> None:
        """Cut the connection."""
        if hasattr(self, "_transport"):
            self._transport.abort()

    def _line(self, out: list[bytes]) -> bool:
        """Handle one command; return whether a complete one was buffered."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        verb = line[:4].upper()
        if verb in (b"MAIL", b"RCPT", b"RSET", b"NOOP"):
            out.append(b"250 2.0.0 ok\r\n")
        elif verb == b"DATA":
            self._in_data = True
            out.append(b"354 go ahead\r\n")
        elif verb in (b"EHLO", b"HELO"):
            starttls = b"" if self._secure else b"250-STARTTLS\r\n"
            out.append(b"250-simulator\r\n250-PIPELINING\r\n" + starttls + b"250-AUTH PLAIN\r\n250 SIZE 4194304\r\n")
        elif verb == b"AUTH":
            out.append(b"235 2.7.0 ok\r\n" if self._knows(line) else b"535 5.7.8 wrong credentials\r\n")
        elif verb == b"STAR" and not self._secure:
            # Commands sent before the handshake must not be executed after it (CVE-2011-0411).
            self._buffer.clear()
            self._transport.write(b"220 2.0.0 go ahead\r\n")
            self._upgrade = asyncio.get_running_loop().create_task(self._start_tls())
            return False
        elif verb == b"QUIT":
            out.append(b"221 2.0.0 bye\r\n")
            asyncio.get_running_loop().call_soon(self._transport.close)
        else:
            out.append(b"500 5.5.1 what?\r\n")
        return True

    def _knows(self, line: bytes) -> bool:
        if self._password is None:
            return True
        try:
            words = line.split()
            return a2b_base64(words[2]).split(b"\0")[2] == self._password.encode()
        except (IndexError, ValueError):
            return False

    async def _start_tls(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self._transport, self, self._tls, server_side=True)
        except OSError:
            self._transport.abort()
            return
        if transport is not None:
            self._transport, self._secure = transport, True

    def _message(self, out: list[bytes]) -> bool:
        """Read one message; return whether it was complete."""
        end = 0 if self._buffer.startswith(_END[2:]) else self._buffer.find(_END)
        if end < 0:
            return False
        message = bytes(self._buffer[:end])
        del self._buffer[: end + (len(_END) if end else len(_END) - 2)]
        self._in_data = False
        found = _MESSAGE_ID.search(message)
        effect = self._outages.effect("smtp")
        answer = self._receipts.arrived(found[1].decode("latin-1") if found else "", "email", message, effect.answer)
        self._receipts.flush()
        if reply := _FINAL.get(answer):
            if wait_s := self._latency_s + effect.slow_s:
                asyncio.get_running_loop().call_later(wait_s, self._transport.write, reply)
            else:
                out.append(reply)
        elif answer in (Answer.ACCEPT_THEN_DROP, Answer.RESET):
            self._transport.abort()
        return answer is not Answer.HANG
