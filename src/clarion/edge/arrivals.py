"""New connections, a few in each turn of the event loop, of each peer at a rate and of all peers by turns.

A connection costs the event loop more than a request on one that is kept, and it is there before anything is known of its
client. So connections are accepted at once, which is cheap, and begin when their turn has come: those of many peers in
rotation, so that nobody waits behind another peer's flood. Those above the rate of their peer wait, unread; when too many do,
further ones are closed. A connection that brings a valid credential is not counted: the limits of that credential count.
An address from which one came lately has a higher rate, so that honest clients behind it go on beside a flood from it.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from clarion.domain.limits_processes import (
    ARRIVAL_PAUSE_MS,
    ARRIVAL_PEERS_KEPT_MAX,
    ARRIVALS_PER_TURN_MAX,
    HELD_SHARE_OF_PEER,
    LATE_SHARE_OF_PEER,
    NETWORK_PEERS,
    VOUCHED_MS,
    VOUCHED_RATE_FACTOR,
)
from clarion.domain.request_rate import NS_PER_S, RequestRate, is_whole
from clarion.domain.security_events import SecurityEvent
from clarion.edge.bounded_table import BoundedTable
from clarion.edge.peers import peers_of
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
        the connections that wait, half of which may be late: above the rates of their peers; as many again may be held: unable to begin yet. `is_exempt` returns whether an
        address has no limit. `now_ns` is a clock that never goes back."""
        self._rates = () if rate is None else (rate, _times(NETWORK_PEERS, rate))
        self._vouched_rates = tuple(_times(VOUCHED_RATE_FACTOR, one) for one in self._rates)
        self._vouched = BoundedTable[int](ARRIVAL_PEERS_KEPT_MAX, is_whole)
        """Until when a peer has the higher rate."""
        self._late = _Waiting(waiting_max // 2, LATE_SHARE_OF_PEER)
        self._held = _Waiting(waiting_max, HELD_SHARE_OF_PEER)
        self._ready_max = max(1, waiting_max - self._late.most)
        self.can_begin: Callable[[str], bool] = _always
        """Returns whether the listener can begin a connection of a peer now; if not, it waits."""
        self._telemetry = telemetry
        self._is_exempt = is_exempt
        self._now_ns = now_ns
        self._used = BoundedTable[int](ARRIVAL_PEERS_KEPT_MAX, is_whole)
        self._queues: dict[str, _Queue] = {}
        self._ready: deque[_Queue] = deque()
        """Queues within the rates of their peers, in rotation."""
        self._ready_connections = 0
        self._begun = 0
        """Connections that have begun in this turn of the loop."""
        self._next_turn: asyncio.Handle | None = None

    async def room(self) -> None:
        """Wait until there is room for more connections; those not accepted wait in the system's queue."""
        while self._ready_connections >= self._ready_max:  # noqa: ASYNC110 - each turn makes room
            await asyncio.sleep(0)

    def arrive(self, connection: socket.socket, address: Sequence[Any], begin: Begin) -> None:
        """Begin a connection from an address now or in its turn, or close it."""
        host = str(address[0]).partition("%")[0]
        peers = peers_of((host, 0))
        queue = self._queues.get(peers[0])
        if queue is None:
            if self._begun < ARRIVALS_PER_TURN_MAX and self.can_begin(peers[0]) and self._charge(peers, host):
                self._count()
                begin(connection, peers[0])
                return
            queue = self._queues[peers[0]] = _Queue(peers, host)
            self._ready.append(queue)
            self._await_turn()
        queue.connections.append((connection, begin))
        if queue.waiting is None:
            self._ready_connections += 1
        else:
            queue.waiting.number += 1
            self._close_surplus(queue, queue.waiting)

    def vouch(self, address: str) -> None:
        """Take back the charge of a connection: its client has a valid credential."""
        now_ns, entries, peers = self._now_ns(), self._used.entries, peers_of((address, 0))
        for rate, peer in zip(self._rates_of(peers, now_ns), peers, strict=False):
            whole_ns = entries.get(peer, 0)
            if whole_ns > now_ns:
                entries[peer] = whole_ns - rate.gap_ns
        self._vouched.put(peers[0], now_ns + VOUCHED_MS * 1_000_000, now_ns)

    def is_vouched(self, peer: str) -> bool:
        """Return whether a connection of a peer brought a valid credential lately."""
        return self._vouched.entries.get(peer, 0) > self._now_ns()

    def close(self) -> None:
        """Close the connections that wait."""
        if self._next_turn is not None:
            self._next_turn.cancel()
        for queue in self._queues.values():
            if queue.timer is not None:
                queue.timer.cancel()
            for connection, _ in queue.connections:
                connection.close()
        self._queues.clear()
        self._ready.clear()
        self._ready_connections = self._late.number = self._held.number = 0

    def _rates_of(self, peers: Sequence[str], now_ns: int) -> tuple[RequestRate, ...]:
        return self._rates if self._vouched.entries.get(peers[0], 0) <= now_ns else self._vouched_rates

    def _charge(self, peers: Sequence[str], host: str) -> bool:
        """Return whether a connection fits into the rates of its peer and network, and is charged to them."""
        now_ns, entries = self._now_ns(), self._used.entries
        rates = self._rates_of(peers, now_ns)
        charged = [rate.charged(entries.get(peer, 0), now_ns) for rate, peer in zip(rates, peers, strict=False)]
        if not all(charged):
            return self._is_exempt(host)
        for peer, whole_ns in zip(peers, charged, strict=False):
            self._used.put(peer, whole_ns, now_ns)
        return True

    def _count(self) -> None:
        self._begun += 1
        self._await_turn()

    def _await_turn(self) -> None:
        if self._next_turn is None:
            self._next_turn = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Begin the next connections, one of each peer."""
        self._next_turn, self._begun = None, 0
        ready = self._ready
        while ready and self._begun < ARRIVALS_PER_TURN_MAX:
            queue = ready.popleft()
            if not queue.connections:
                del self._queues[queue.peers[0]]
                continue
            if not self.can_begin(queue.peers[0]):
                self._wait(queue, ARRIVAL_PAUSE_MS / 1000, self._held)
                continue
            if not self._charge(queue.peers, queue.host):
                self._wait(queue, self._late_s(queue), self._late)
                continue
            connection, begin = queue.connections.popleft()
            self._ready_connections -= 1
            if queue.connections:
                ready.append(queue)
            else:
                del self._queues[queue.peers[0]]
            self._count()
            begin(connection, queue.peers[0])
        if ready:
            self._await_turn()

    def _late_s(self, queue: "_Queue") -> float:
        """Return how long it takes until a connection of a peer fits into its rate."""
        now_ns, entries = self._now_ns(), self._used.entries
        rates = self._rates_of(queue.peers, now_ns)
        waits = [rate.wait_ns(entries.get(peer, 0), now_ns) for rate, peer in zip(rates, queue.peers, strict=False)]
        return max(0, *waits) / NS_PER_S

    def _wait(self, queue: "_Queue", wait_s: float, waiting: "_Waiting") -> None:
        """Let the connections of a peer wait, counted apart from those that are ready: these keep others from being
        accepted."""
        queue.timer = asyncio.get_running_loop().call_later(wait_s, self._go_on, queue)
        queue.waiting = waiting
        self._ready_connections -= len(queue.connections)
        waiting.number += len(queue.connections)
        self._close_surplus(queue, waiting)

    def _go_on(self, queue: "_Queue") -> None:
        queue.timer = None
        if queue.waiting is not None:
            queue.waiting.number -= len(queue.connections)
            self._ready_connections += len(queue.connections)
            queue.waiting = None
        self._ready.append(queue)
        self._await_turn()

    def _close_surplus(self, queue: "_Queue", waiting: "_Waiting") -> None:
        """Close the last of the connections of a peer that wait and are too many."""
        own, most = queue.connections, waiting.most
        own_most = most if self.is_vouched(queue.peers[0]) else most // waiting.share
        while own and (len(own) > own_most or waiting.number > most):
            connection, _ = own.pop()
            waiting.number -= 1
            connection.close()
            peer, reason = queue.peers[0], CONNECTION_LIMIT
            self._telemetry.security(SecurityEvent.REQUEST_LIMIT_REACHED, reason=reason, peer=peer)


def _always(_peer: str) -> bool:
    return True


def _times(factor: int, rate: RequestRate) -> RequestRate:
    return RequestRate(factor * rate.per_s, factor * rate.burst)


class _Waiting:
    """A number of connections that wait for the same reason, at most `most`, and one in `share` of one peer unless it is
    vouched."""

    __slots__ = ("most", "number", "share")

    def __init__(self, most: int, share: int) -> None:
        self.most = most
        self.share = share
        self.number = 0


class _Queue:
    """The connections of a peer that are ready, or `waiting`; `timer` then ends their wait."""

    __slots__ = ("connections", "host", "peers", "timer", "waiting")

    def __init__(self, peers: tuple[str, ...], host: str) -> None:
        self.peers = peers
        self.host = host
        self.connections: deque[tuple[socket.socket, Begin]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.waiting: _Waiting | None = None
