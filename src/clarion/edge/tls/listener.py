"""Accepts TLS connections. A connection whose handshake is not complete belongs to nobody, so the number of these and
their time are bounded here, before the HTTP protocol sees them."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from clarion.domain.limits_processes import (
    TLS_CLOSE_MS_MAX,
    TLS_HANDSHAKE_GRACE_MS,
    TLS_HANDSHAKE_VOUCHED_GRACE_MS,
    TLS_HANDSHAKES_MAX,
    TLS_HANDSHAKES_PER_PEER_MAX,
)
from clarion.domain.security_events import SecurityEvent
from clarion.edge.arrivals import Arrivals
from clarion.edge.listener import Listener
from clarion.edge.tls.renewal import ServerTls
from clarion.ports.telemetry import Telemetry

_EXPIRED: Final = 10
_NO_CERTIFICATE: Final = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class TlsListener(Listener):
    """The listening sockets of an address, whose connections begin with a handshake."""

    def __init__(
        self, tls: ServerTls, make: Callable[[], asyncio.Protocol], telemetry: Telemetry, arrivals: Arrivals
    ) -> None:
        """`make` makes the protocol of a connection, which begins when its handshake is complete."""
        super().__init__(make, telemetry, arrivals)
        self._tls = tls
        arrivals.can_begin = self._can_begin
        self._handshakes: dict[asyncio.Task[None], tuple[str, float]] = {}
        """Handshakes under way with their peers and when they began on the loop's clock, the oldest first."""
        self._of_peers: Counter[str] = Counter()

    @property
    def handshakes(self) -> int:
        """The number of handshakes under way."""
        return len(self._handshakes)

    def close(self) -> None:
        """Accept no more, and end the handshakes under way."""
        super().close()
        for task in self._handshakes:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        await super().wait_closed()
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _can_begin(self, peer: str) -> bool:
        """Return whether there is room for a handshake of a peer, if need be that of the oldest one: a client that means it
        takes a few round trips."""
        surplus = self._surplus(peer)
        return surplus is None or self._may_end(surplus)

    def _surplus(self, peer: str) -> asyncio.Task[None] | None:
        """Return the handshake that has to end before another one of a peer may begin."""
        if self._of_peers[peer] >= TLS_HANDSHAKES_PER_PEER_MAX:
            return next(task for task, (its, _) in self._handshakes.items() if its == peer)
        if len(self._handshakes) < TLS_HANDSHAKES_MAX:
            return None
        oldest = next(iter(self._handshakes))
        if self._may_end(oldest):
            return oldest
        is_vouched = self._arrivals.is_vouched
        return next((task for task, (its, _) in self._handshakes.items() if not is_vouched(its)), oldest)

    def _may_end(self, handshake: asyncio.Task[None]) -> bool:
        peer, began_s = self._handshakes[handshake]
        grace_ms = TLS_HANDSHAKE_VOUCHED_GRACE_MS if self._arrivals.is_vouched(peer) else TLS_HANDSHAKE_GRACE_MS
        return asyncio.get_running_loop().time() - began_s >= grace_ms / 1000

    def _start(self, connection: socket.socket, peer: str) -> None:
        surplus = self._surplus(peer)
        if surplus is not None:
            self._forget(surplus)
            surplus.cancel()
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
