"""Accepts TLS connections. A connection whose handshake is not complete belongs to nobody, so the number of these and
their time are bounded here, before the HTTP protocol sees them."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from clarion.app.http.arrivals import Arrivals
from clarion.app.http.listener import listening_sockets
from clarion.app.tls.renewal import ServerTls
from clarion.domain.limits_processes import (
    ACCEPT_PAUSE_MS,
    TLS_CLOSE_MS_MAX,
    TLS_HANDSHAKE_GRACE_MS,
    TLS_HANDSHAKES_MAX,
    TLS_HANDSHAKES_PER_PEER_MAX,
)
from clarion.domain.security_events import SecurityEvent
from clarion.ports.telemetry import Telemetry

_EXPIRED: Final = 10
_NO_CERTIFICATE: Final = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class TlsListener:
    """The listening sockets of an address. It has the methods of `asyncio.Server` that uvicorn calls."""

    def __init__(
        self, tls: ServerTls, make: Callable[[], asyncio.Protocol], telemetry: Telemetry, arrivals: Arrivals
    ) -> None:
        """`make` makes the protocol of a connection, which begins when its handshake is complete."""
        self._tls = tls
        self._make = make
        self._telemetry = telemetry
        self._arrivals = arrivals
        arrivals.can_begin = self._can_begin
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: dict[asyncio.Task[None], tuple[str, float]] = {}
        """Handshakes under way with their peers and when they began on the loop's clock, the oldest first."""
        self._of_peers: Counter[str] = Counter()
        self.sockets: list[socket.socket] = []

    async def start(self, host: str, port: int) -> None:
        """Listen on all addresses of a host. Raises `OSError`."""
        self.sockets = await listening_sockets(host, port)
        self._accepting = [asyncio.create_task(self._accept(one)) for one in self.sockets]

    @property
    def handshakes(self) -> int:
        """The number of handshakes under way."""
        return len(self._handshakes)

    def close(self) -> None:
        """Accept no more, and end the handshakes under way."""
        for task in [*self._accepting, *self._handshakes]:
            task.cancel()
        self._arrivals.close()
        for one in self.sockets:
            one.close()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        await asyncio.gather(*self._accepting, *self._handshakes, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                self._telemetry.log("error", "connection_not_accepted", error=str(error))
                await asyncio.sleep(ACCEPT_PAUSE_MS / 1000)
                continue
            self._arrivals.arrive(connection, address, self._start)
            await self._arrivals.room()
            await asyncio.sleep(0)  # many connections may wait, and an accept that need not wait does not yield

    def _can_begin(self, peer: str) -> bool:
        """Return whether there is room for a handshake of a peer, if need be for the oldest one: a client that means it takes
        a few round trips."""
        if self._of_peers[peer] >= TLS_HANDSHAKES_PER_PEER_MAX:
            oldest = next(task for task, (its, _) in self._handshakes.items() if its == peer)
        elif len(self._handshakes) >= TLS_HANDSHAKES_MAX:
            oldest = next(iter(self._handshakes))
        else:
            return True
        if asyncio.get_running_loop().time() - self._handshakes[oldest][1] < TLS_HANDSHAKE_GRACE_MS / 1000:
            return False
        self._forget(oldest)
        oldest.cancel()
        return True

    def _start(self, connection: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._shake(connection, peer))
        self._handshakes[task] = peer, loop.time()
        self._of_peers[peer] += 1
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        found = self._handshakes.pop(task, None)
        if found is not None:
            peer, _ = found
            self._of_peers[peer] -= 1
            if not self._of_peers[peer]:
                del self._of_peers[peer]

    async def _shake(self, connection: socket.socket, peer: str) -> None:
        """Complete the handshake of a connection, or close it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._tls.settings.handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=TLS_CLOSE_MS_MAX / 1000,
            )
        except OSError as error:
            # The loop has closed the connection, as it does when this task is cancelled.
            reason = _refused_certificate(error)
            if reason:
                self._telemetry.security(SecurityEvent.CLIENT_CERTIFICATE_REFUSED, peer=peer, reason=reason)


def _refused_certificate(error: OSError) -> str:
    """Return why a client's certificate was refused, as a code; empty for any other failure of a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "expired" if error.verify_code == _EXPIRED else "untrusted"
    return "missing" if isinstance(error, ssl.SSLError) and error.reason == _NO_CERTIFICATE else ""
