"""New connections of a peer, at a rate. A connection costs the event loop more than a request on one that is kept, and it is
there before anything is known of its client. Those above the rate wait, unread, for their turn; when too many wait, further ones
are closed, which costs least. A connection that brings a valid credential is not counted: the limits of that credential count.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from clarion.app.http.bounded_table import BoundedTable
from clarion.app.http.peers import peers_of
from clarion.domain.limits_processes import ARRIVAL_PEERS_KEPT_MAX, ARRIVALS_PER_TURN_MAX, NETWORK_PEERS
from clarion.domain.request_rate import NS_PER_S, RequestRate, is_whole
from clarion.domain.security_events import SecurityEvent
from clarion.ports.telemetry import Telemetry

CONNECTION_LIMIT: Final = "connection_limit_reached"

Begin = Callable[[socket.socket, str], None]
"""Begins to serve a connection of a peer."""


class Arrivals:
    """The new connections of one listener. Belongs to one event loop."""

    def __init__(
        self,
        rate: RequestRate | None,
        waiting_max: int,
        telemetry: Telemetry,
        is_exempt: Callable[[str], bool],
        now_ns: Callable[[], int],
    ) -> None:
        """`rate` is that of a peer, None without a limit; a network has `NETWORK_PEERS` times as much. `waiting_max` bounds
        the connections that wait; those of one peer may be half of them. `is_exempt` returns whether an address has no
        limit. `now_ns` is a clock that never goes back."""
        self._rates = (
            () if rate is None else (rate, RequestRate(NETWORK_PEERS * rate.per_s, NETWORK_PEERS * rate.burst))
        )
        self._waiting_max = waiting_max
        self._telemetry = telemetry
        self._is_exempt = is_exempt
        self._now_ns = now_ns
        self._used = BoundedTable[int](ARRIVAL_PEERS_KEPT_MAX, is_whole)
        self._queues: dict[str, _Queue] = {}
        self._waiting = 0

    def arrive(self, connection: socket.socket, address: Sequence[Any], begin: Begin) -> bool:
        """Begin a connection from an address now or in its turn, or close it. Returns whether it has begun."""
        host = str(address[0]).partition("%")[0]
        peers = peers_of((host, 0))
        peer = peers[0]
        queue = self._queues.get(peer)
        if queue is None:
            if not self._rates or self._charge(peers) or self._is_exempt(host):
                begin(connection, peer)
                return True
        elif len(queue.connections) >= self._waiting_max // 2:
            return self._close(connection, peer)
        if self._waiting >= self._waiting_max:
            return self._close(connection, peer)
        self._waiting += 1
        if queue is None:
            queue = self._queues[peer] = _Queue(peers)
            queue.timer = self._later(queue)
        queue.connections.append((connection, begin))
        return False

    def vouch(self, address: str) -> None:
        """Take back the charge of a connection: its client has a valid credential."""
        now_ns, entries = self._now_ns(), self._used.entries
        for rate, peer in zip(self._rates, peers_of((address, 0)), strict=False):
            whole_ns = entries.get(peer, 0)
            if whole_ns > now_ns:
                entries[peer] = whole_ns - rate.gap_ns

    def close(self) -> None:
        """Close the connections that wait."""
        for queue in self._queues.values():
            queue.timer.cancel()
            for connection, _ in queue.connections:
                connection.close()
        self._queues.clear()
        self._waiting = 0

    def _charge(self, peers: Sequence[str]) -> bool:
        """Return whether a connection fits into the rates of its peer and network, and is charged to them."""
        now_ns, entries = self._now_ns(), self._used.entries
        charged = [rate.charged(entries.get(peer, 0), now_ns) for rate, peer in zip(self._rates, peers, strict=False)]
        if not all(charged):
            return False
        for peer, whole_ns in zip(peers, charged, strict=True):
            self._used.put(peer, whole_ns, now_ns)
        return True

    def _later(self, queue: "_Queue") -> asyncio.TimerHandle:
        now_ns, entries = self._now_ns(), self._used.entries
        wait_ns = max(
            rate.wait_ns(entries.get(peer, 0), now_ns) for rate, peer in zip(self._rates, queue.peers, strict=False)
        )
        return asyncio.get_running_loop().call_later(max(wait_ns, 0) / NS_PER_S, partial(self._go_on, queue))

    def _go_on(self, queue: "_Queue") -> None:
        """Begin the connections whose turn has come: a few, so that others have theirs."""
        for _ in range(ARRIVALS_PER_TURN_MAX):
            if not queue.connections:
                del self._queues[queue.peers[0]]
                return
            if not self._charge(queue.peers):
                break
            connection, begin = queue.connections.popleft()
            self._waiting -= 1
            begin(connection, queue.peers[0])
        queue.timer = self._later(queue)

    def _close(self, connection: socket.socket, peer: str) -> bool:
        connection.close()
        self._telemetry.security(SecurityEvent.REQUEST_LIMIT_REACHED, reason=CONNECTION_LIMIT, peer=peer)
        return False


class _Queue:
    """The connections of a peer that wait."""

    __slots__ = ("connections", "peers", "timer")

    def __init__(self, peers: tuple[str, ...]) -> None:
        self.peers = peers
        self.connections: deque[tuple[socket.socket, Begin]] = deque()
        self.timer: asyncio.TimerHandle
