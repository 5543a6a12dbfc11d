"""How many connections a listener has: in all, and from one peer. When there are too many, idle ones are closed for new
ones, of the peer that has most of them."""

import heapq
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from clarion.domain.limits_processes import (
    CONNECTIONS_CLOSED_SHARE,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    LINGERING_PER_PEER_MAX,
    NONE_IDLE_MS,
)
from clarion.domain.security_events import SecurityEvent
from clarion.edge.arrivals import Arrivals
from clarion.edge.peers import peer_of
from clarion.ports.telemetry import Telemetry

_ALL: Final = "all"
_GREEDIEST: Final = "greediest"


class Connection(Protocol):
    """What this module needs of a connection."""

    client: tuple[str, int] | None

    @property
    def idle_since_s(self) -> float:
        """When it became idle, on the loop's clock; infinite while a request is under way."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...


class Connections:
    """The connections of one listener, and what they share."""

    def __init__(
        self,
        telemetry: Telemetry | None = None,
        most: int = CONNECTIONS_MAX,
        most_of_peer: int = CONNECTIONS_PER_PEER_MAX,
        now_s: Callable[[], float] = time.monotonic,
        arrivals: Arrivals | None = None,
        is_proxy: Callable[[str], bool] = lambda _address: False,
    ) -> None:
        """Bound all connections, and those of one peer: half of all at most. `arrivals` counts new ones. An address that
        `is_proxy` is not one peer: many clients share it."""
        self._is_proxy = is_proxy
        self._arrivals = arrivals
        self._telemetry = telemetry
        self._most = most
        self._most_of_peer = min(most_of_peer, most // 2)
        self._now_s = now_s
        self._peers: dict[str, set[Connection]] = {}
        self._number = 0
        self._none_idle_until_s: dict[str, float] = {}
        """Until when no idle connection is sought, by peer and for all together."""
        self._lingering: dict[str, set[Connection]] = {}
        self.stopping = False
        """Whether the process stops: a connection serves no further request."""

    def enter(self, connection: Connection) -> bool:
        """Return whether there is room for a new connection; none is served while the process stops."""
        if self.stopping:
            return False
        peer = peer_of(connection.client)
        own = self._peers.get(peer, set())
        if len(own) >= self._most_of_peer and not self._is_proxy((connection.client or ("", 0))[0]):
            room = self._make_room(peer, own)
        elif self._number >= self._most:
            room = self._make_room(_GREEDIEST, self._of_greediest()) or self._make_room(_ALL, self._of_all())
        else:
            room = True
        if room:
            self._peers.setdefault(peer, own).add(connection)
            self._number += 1
        else:
            self.report("too_many_connections", connection.client)
        return room

    def linger(self, connection: Connection) -> bool:
        """Return whether a refused request or connection may be read to its end. Many that send much would take the loop's time from
        new ones."""
        own = self._lingering.setdefault(peer_of(connection.client), set())
        if len(own) < LINGERING_PER_PEER_MAX:
            own.add(connection)
        return connection in own

    def stop_lingering(self, connection: Connection) -> None:
        """Record that a refused connection was read to the end of its request."""
        peer = peer_of(connection.client)
        lingering = self._lingering.get(peer)
        if lingering is not None:
            lingering.discard(connection)
            if not lingering:
                del self._lingering[peer]

    def vouch(self, client: tuple[str, int] | None) -> None:
        """Record that a new connection of a client brought a valid credential."""
        if self._arrivals is not None and client is not None:
            self._arrivals.vouch(client[0])

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self.stop_lingering(connection)
        peer = peer_of(connection.client)
        own = self._peers.get(peer)
        if own is None or connection not in own:
            return
        own.remove(connection)
        self._number -= 1
        if not own:
            del self._peers[peer]

    def report(self, reason: str, client: tuple[str, int] | None) -> None:
        """Record in the security log that a connection or a request was refused."""
        if self._telemetry is not None:
            self._telemetry.security(SecurityEvent.REQUEST_REFUSED, reason=reason, peer=peer_of(client))

    def _of_all(self) -> Iterator[Connection]:
        return (one for own in self._peers.values() for one in own)

    def _of_greediest(self) -> Iterator[Connection]:
        """Return the connections of the peers that have most of them."""
        most = max(map(len, self._peers.values()))
        return (one for own in self._peers.values() if len(own) == most for one in own)

    def _make_room(self, name: str, among: Iterable[Connection]) -> bool:
        """Close connections that have been idle for the longest time: several, as finding them costs more than closing
        them. Returns False when none is idle, which holds for a moment under this name."""
        if name in self._none_idle_until_s:
            if self._now_s() < self._none_idle_until_s[name]:
                return False
            del self._none_idle_until_s[name]
        number = max(1, int(self._most_of_peer * CONNECTIONS_CLOSED_SHARE))
        idle = heapq.nsmallest(number, (one for one in among if one.idle_since_s < math.inf), key=_idle_since_s)
        if not idle:
            self._remember_none(name)
            return False
        self.report("idle_connection_closed", idle[0].client)
        for one in idle:
            self.leave(one)
            one.abort()
        return True

    def _remember_none(self, name: str) -> None:
        if len(self._none_idle_until_s) >= self._most:
            self._none_idle_until_s.clear()
        self._none_idle_until_s[name] = self._now_s() + NONE_IDLE_MS / 1000


def _idle_since_s(connection: Connection) -> float:
    return connection.idle_since_s
